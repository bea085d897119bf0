// What the pages do beyond plain HTML. Without this file everything still works; only nothing updates by itself.

let source; // of live updates, one at a time: a form's answer may bring the element anew
follow();
localTimes();

function follow() {
  source?.close();
  const element = document.querySelector("[data-live]");
  if (!element) return;
  let asked = 0, shown = 0, last = "", timer;
  source = new EventSource(element.dataset.live);
  const refresh = async () => {
    const mine = ++asked;
    const answer = await fetch(element.dataset.fragment, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer?.ok || mine < shown) return;
    shown = mine;
    const html = await answer.text();
    if (mine !== shown || html === last || element.contains(document.activeElement)) return;
    last = html;
    element.innerHTML = html;
    localTimes();
    say(element.querySelector("h1").textContent);
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, 80); };
  source.addEventListener("install", soon);
  source.addEventListener("journey", soon);
  element.addEventListener("focusout", soon); // what had to wait, so that nobody loses the place they are at
}

function say(headline) {
  if (document.title === headline) return;
  document.title = headline;
  document.getElementById("said").textContent = headline; // for who hears the page
  document.querySelector("[data-notice]")?.remove();
}

// Moments, in the reader's own time zone.
function localTimes() {
  const format = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[datetime]")) time.textContent = format.format(new Date(time.dateTime));
}

// Forms that show their answer in place, and keep what stands around them.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-inplace]")) {
    if (form.matches("[data-once]")) form.querySelectorAll("button").forEach((button) => { button.disabled = true; });
    return;
  }
  event.preventDefault();
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    const answer = await fetch(form.action || location.href, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    const first = document.querySelector("main .alert[role]") ?? document.querySelector("main h1");
    first.tabIndex = -1;
    first.focus();
    follow();
    localTimes();
    look();
  } catch {
    buttons.forEach((button) => { button.disabled = false; });
    form.submit();
  }
});
addEventListener("pageshow", () => document.querySelectorAll("[data-once] button").forEach((button) => { button.disabled = false; }));

// A page that says it is still busy is looked at again.
function look() {
  if (document.querySelector("main progress:not([value])")) setTimeout(() => location.reload(), 5000);
}

document.addEventListener("input", ({ target }) => {
  const again = document.querySelector("[data-same]");
  if (!again || (target !== again && target.id !== again.dataset.same)) return;
  const same = again.value === "" || again.value === document.getElementById(again.dataset.same).value;
  again.setCustomValidity(same ? "" : "The two passwords are not the same.");
});

const pay = document.getElementById("pay");
if (pay) {
  const note = document.getElementById("pay-note");
  const script = document.createElement("script");
  script.src = pay.dataset.script;
  script.onerror = () => { note.textContent = "The payment window could not be loaded. Please try again in a moment."; };
  script.onload = () => { pay.addEventListener("click", open); open(); };
  document.head.append(script);

  function open() {
    const window_ = new window.Razorpay({
      ...JSON.parse(pay.dataset.razorpay),
      handler: (answer) => {
        const back = document.getElementById("paid");
        for (const [name, value] of Object.entries(answer)) {
          back.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
        }
        back.submit();
      },
      modal: { ondismiss: () => { note.textContent = pay.dataset.closed; } },
    });
    window_.on("payment.failed", () => { note.textContent = pay.dataset.failed; });
    window_.open();
  }
}
