"""`keyturn invoices`: what was billed, and what of it went back."""

from pathlib import Path
from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, session

app = typer.Typer(no_args_is_help=True, help="Invoices and credit notes.")
COLUMNS = ("number", "kind", "status", "email", "total", "tax", "due", "currency", "issuedAt", "purchaseId")
Number = Annotated[str, typer.Argument(metavar="NUMBER")]
Kind = Annotated[str | None, typer.Option(help="invoice or credit_note.")]
Status = Annotated[str | None, typer.Option(help="open, paid or void.")]
Email = Annotated[str | None, typer.Option(help="Of this customer.")]
Purchase = Annotated[str | None, typer.Option(help="Of this purchase.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="The file; else the number with .pdf, here.")]


@app.command("list")
def show_all(
    ctx: typer.Context,
    *,
    kind: Kind = None,
    status: Status = None,
    email: Email = None,
    purchase: Purchase = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> None:
    """List invoices and credit notes, newest first."""
    here = session(ctx)
    asked = {"kind": kind, "status": status, "email": email, "purchaseId": purchase}
    here.out.rows(here.client.get("/api/invoices", **asked, limit=limit, cursor=cursor), COLUMNS)


@app.command()
def show(ctx: typer.Context, *, number: Number) -> None:
    """Show one as it was issued: lines, taxes, seller and buyer."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/invoices/{number}"))


@app.command()
def pdf(ctx: typer.Context, *, number: Number, output: Output = None) -> None:
    """Write one to a file, as its customer gets it."""
    here = session(ctx)
    file = output or Path(f"{number}.pdf")
    file.write_bytes(here.client.download(f"/api/invoices/{number}.pdf"))
    here.out.done(f"written: {file}", {"file": str(file)})
