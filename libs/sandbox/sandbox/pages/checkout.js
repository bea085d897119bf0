// What the real checkout.js offers, as far as shops use it: `new Razorpay(options).open()`, `on`, `close`.
(() => {
  const base = new URL(document.currentScript.src).origin;

  class Razorpay {
    constructor(options) {
      if (!options || !options.key) throw new Error("`key` is mandatory");
      this.options = options;
      this.listeners = {};
      this.receive = (event) => this.onMessage(event);
    }

    on(name, callback) {
      (this.listeners[name] ||= []).push(callback);
    }

    open() {
      const { key, order_id, subscription_id, name, prefill = {}, callback_url, redirect } = this.options;
      const path = this.options.subscription_card_change ? `card/${subscription_id}` : `checkout/${order_id ?? subscription_id}`;
      const query = new URLSearchParams({ key, title: name || "", email: prefill.email || "" });
      if (callback_url && redirect) {
        query.set("callback_url", callback_url);
        location.assign(`${base}/${path}?${query}`);
        return;
      }
      this.frame = document.createElement("iframe");
      this.frame.title = "Payment";
      this.frame.src = `${base}/${path}?${query}`;
      Object.assign(this.frame.style, {
        position: "fixed", inset: "0", width: "100%", height: "100%", border: "0", background: "Canvas", zIndex: "9999",
      });
      addEventListener("message", this.receive);
      document.body.append(this.frame);
    }

    close() {
      removeEventListener("message", this.receive);
      this.frame?.remove();
      this.frame = null;
    }

    onMessage({ origin, source, data }) {
      if (origin !== base || source !== this.frame?.contentWindow) return;
      if (data.razorpay === "failed") {
        for (const callback of this.listeners["payment.failed"] || []) callback({ error: data.error });
        return;
      }
      this.close();
      if (data.razorpay === "paid") this.options.handler?.(data.answer);
      else this.options.modal?.ondismiss?.();
    }
  }

  window.Razorpay = Razorpay;
})();
