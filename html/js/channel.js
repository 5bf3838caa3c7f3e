/** A WebSocket with its button and a sentence on how it is doing. */
import { h, setText } from "./dom.js";

/** Close codes (RFC 6455, 7.4.1) in words. */
const CODES = {
	1000: "Closed.",
	1001: "The gateway is going away or this location was removed.",
	1002: "Closed after a protocol error.",
	1003: "Closed: this kind of data is not accepted.",
	1006: "The connection was lost.",
	1007: "Closed: text that is not UTF-8.",
	1008: "Closed: not allowed here.",
	1009: "Closed: the message was too large.",
	1011: "Closed after an error in the gateway.",
	1013: "Closed: too slow or overloaded; try again later.",
};

/** A button that connects or ends what is connected, and the sentence beside it. */
export class Bar {
	#button;
	#state = h("span", { class: "state muted", "aria-live": "polite" }, "not connected");

	constructor(onclick) {
		this.#button = h("button", { type: "button", class: "main", onclick }, "Connect");
		this.element = h("div", { class: "bar" }, this.#button, this.#state);
	}

	/** state: "ok", "wait", "bad" or ""; action: what the button does now. */
	show(text, state, action) {
		setText(this.#state, text);
		this.#state.dataset.state = state;
		setText(this.#button, action);
		this.#button.classList.toggle("main", action === "Connect");
	}
}

export class Channel {
	#socket = null;
	#handlers;
	#bar;

	/**
	 * where(): its URL at the time of connecting; onopen(), onmessage(data), onclose();
	 * refused(): the likely reason, as a sentence, when a handshake fails (browsers hide
	 * the answer's status). bar: one that is shared; its button calls toggle().
	 */
	constructor(handlers, bar = new Bar(() => this.toggle())) {
		this.#handlers = handlers;
		this.#bar = bar;
		this.element = bar.element;
	}

	get open() {
		return this.#socket?.readyState === WebSocket.OPEN;
	}

	get busy() {
		return this.#socket !== null;
	}

	toggle() {
		if (this.busy)
			this.#socket.close(1000);
		else
			this.connect();
	}

	/** Resolves to whether it is open. */
	connect() {
		if (this.busy)
			return Promise.resolve(this.open);
		const socket = this.#socket = new WebSocket(this.#handlers.where());
		let opened = false;
		socket.binaryType = "arraybuffer";
		this.#bar.show("connecting…", "wait", "Cancel");
		socket.addEventListener("message", (e) => this.#handlers.onmessage(e.data));
		return new Promise((done) => {
			socket.addEventListener("open", () => {
				opened = true;
				this.#bar.show("connected", "ok", "Disconnect");
				this.#handlers.onopen?.();
				done(true);
			});
			socket.addEventListener("close", (e) => {
				this.#socket = null;
				this.#bar.show(opened ? farewell(e) : this.#handlers.refused(),
					e.code === 1000 ? "" : "bad", "Connect");
				this.#handlers.onclose?.();
				done(false);
			});
		});
	}

	send(data) {
		if (this.open)
			this.#socket.send(data);
	}

	/** For a form that leaves the page. */
	drop() {
		this.#socket?.close(1000);
	}
}

function farewell(e) {
	const known = CODES[e.code] || `Closed with code ${e.code}.`;
	return e.reason ? `${known} (${e.code}: ${e.reason})` : known;
}

/** Why a handshake probably failed; browsers do not tell. */
export function refusal(status, reasons) {
	return status.lost ? "The gateway does not answer."
		: `The gateway refused the WebSocket. Reasons may be: ${reasons}, the page's origin, or a limit.`;
}

/** ws:// or wss://, as this page came. */
export function wsUrl(path) {
	const url = new URL(path, location.href);
	url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
	return url.href;
}
