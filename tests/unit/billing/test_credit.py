"""What goes back of an invoice, and what a customer's credit pays: no cent is lost or made."""

from hypothesis import given
from hypothesis import strategies as st

from billing.crediting import left_of, part_of
from billing.credits import part_of as part_of_bill
from billing.providers.money import smallest, step_of
from billing.reversals import gone_back

LINES = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=5)
AMOUNTS = st.lists(st.integers(0, 10**9), max_size=8)


@given(LINES, AMOUNTS)
def test_notes_never_exceed_their_invoice_and_the_last_one_is_the_rest(
    lines: list[tuple[int, int]], amounts: list[int]
) -> None:
    kept = [{"net": net, "tax": tax} for net, tax in lines]
    whole = sum(net + tax for net, tax in lines)
    notes: list[list[dict[str, int]]] = []
    gone = 0
    for amount in [*amounts, whole]:
        taken = part_of(left_of(kept, notes), amount)
        sum_taken = sum(net + tax for net, tax in taken)
        assert sum_taken == min(amount, whole - gone)
        assert all(net >= 0 and tax >= 0 for net, tax in taken)
        notes.append([{"net": net, "tax": tax} for net, tax in taken])
        gone += sum_taken
        assert all(net >= 0 and tax >= 0 for net, tax in left_of(kept, notes))
    assert gone == whole
    for place, line in enumerate(kept):
        assert sum(note[place]["net"] for note in notes) == line["net"]
        assert sum(note[place]["tax"] for note in notes) == line["tax"]


@given(LINES, st.integers(0, 10**9))
def test_of_each_amount_the_tax_is_in_proportion(lines: list[tuple[int, int]], amount: int) -> None:
    whole = sum(net + tax for net, tax in lines)
    amount = min(amount, whole)
    for (net, tax), (net_taken, tax_taken) in zip(lines, part_of(lines, amount), strict=True):
        assert abs(net_taken * whole - net * amount) <= whole
        assert abs(tax_taken * whole - tax * amount) <= whole


MONEY = st.integers(0, 10**9)


@given(MONEY, MONEY, MONEY, MONEY)
def test_all_went_back_where_all_of_the_money_did_or_all_of_both(
    paid: int, refunded: int, credited: int, returned: int
) -> None:
    refunded, returned = min(refunded, paid), min(returned, credited)
    whole, back = gone_back(paid=paid, refunded=refunded, credited=credited, returned=returned)
    assert 0 <= back <= whole <= paid + credited
    all_money = bool(paid) and refunded == paid
    assert (bool(whole) and back == whole) == (all_money or (bool(returned) and not paid and returned == credited))
    assert bool(back) == bool(refunded or returned)


CURRENCIES = st.sampled_from(["JPY", "KRW", "EUR", "USD", "INR", "KWD", "TND"])


@given(st.integers(1, 10**9), st.integers(0, 2 * 10**9), CURRENCIES, st.sampled_from(["stripe", "razorpay"]))
def test_credit_pays_all_of_a_bill_or_leaves_what_the_provider_takes(
    total: int, balance: int, currency: str, provider: str
) -> None:
    least, step = smallest(provider, currency), step_of(currency)
    total = max(total * step, least)
    used = part_of_bill(total, balance, least, step)
    assert 0 <= used <= min(balance, total)
    assert (total - used) % step == 0
    assert used == total or total - used >= least
    if balance >= total:
        assert used == total
    elif total - balance >= least:
        assert balance - used < step
