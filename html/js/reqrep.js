/** Trying a reqrep location: one request, its answer. */
import { field, form, h, setText, submitKey } from "./dom.js";
import { bytes, clip, millis, readable } from "./format.js";

const QUIET = ["HEAD", "OPTIONS"];

export function reqrepForm(l) {
	const useful = l.methods.filter((m) => !QUIET.includes(m));
	const methods = useful.length ? useful : ["POST"];
	const method = h("select", {}, methods.map((m) => h("option", {}, m)));
	const several = methods.length > 1;
	if (methods.includes("POST"))
		method.value = "POST";
	const path = h("input", { type: "text", value: l.path, spellcheck: "false", autocapitalize: "off",
		autocomplete: "off" });
	const body = submitKey(h("textarea", { rows: "4", value: "Hello", spellcheck: "false" }));
	const send = h("button", { type: "submit", class: "main" }, "Send");
	const result = h("div", { class: "result", "aria-live": "polite" });
	let going = null;

	const submit = async () => {
		if (going) {
			going.abort();
			return;
		}
		going = new AbortController();
		setText(send, "Cancel");
		setText(result, "waiting for the reply…");
		result.replaceChildren(...await exchange(method.value, path.value, body.value, going.signal));
		going = null;
		setText(send, "Send");
	};

	return {
		element: form(submit,
			h("div", { class: "row" }, several ? field("Method", method) : null,
				field(several ? "Path" : `${methods[0]} to`, path)),
			field("Body", body, "Ctrl+Enter or ⌘+Enter sends." +
				(methods.includes("GET") ? " With GET this is the query string." : "")),
			h("div", { class: "bar" }, send), result),
		stop: () => going?.abort(),
	};
}

/** Sends, and describes the answer as nodes. */
async function exchange(method, path, text, signal) {
	const began = performance.now();
	try {
		const url = new URL(path, location.href);
		if (url.origin !== location.origin)
			throw new Error("The path must be one of this gateway's.");
		const bare = method === "GET";
		if (bare && text && !url.search)
			url.search = text;
		const answer = await fetch(url, { method, body: bare ? undefined : text, signal, cache: "no-store" });
		const body = await answer.arrayBuffer();
		return answered(answer, body, performance.now() - began);
	} catch (e) {
		const why = e.name === "AbortError" ? "Cancelled."
			: e.name === "TypeError" ? "No answer: the connection failed." : e.message;
		return [h("p", { class: "bad" }, why)];
	}
}

function answered(answer, body, took) {
	const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
	return [
		h("p", { class: "outcome" },
			h("b", { class: answer.ok ? "good" : "bad" }, `${answer.status} ${answer.statusText}`),
			h("span", { class: "muted" }, `${millis(took)}, ${bytes(body.byteLength)}`)),
		h("pre", { class: "body", tabindex: "0", role: "group", "aria-label": "Body of the answer" },
			clip(readable(body), 20000)),
		h("details", {}, h("summary", {}, "Headers"), h("pre", {}, headers)),
	];
}
