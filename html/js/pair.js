/** Trying a pair location: a talk with the PAIR peer, both ways. */
import { field, form, h } from "./dom.js";
import { Channel, refusal, wsUrl } from "./channel.js";
import { Messages } from "./messages.js";

export function pairForm(l, status) {
	const text = h("input", { type: "text", value: "Hello", autocomplete: "off" });
	const send = h("button", { type: "submit", class: "main", disabled: true }, "Send");
	const messages = new Messages(`Talk on ${l.path}`,
		{ live: "polite", empty: "Connect, and what both sides say appears here." });
	const channel = new Channel({
		where: () => wsUrl(l.path),
		onopen: () => send.disabled = false,
		onmessage: (data) => messages.add("in", data),
		onclose: () => send.disabled = true,
		refused: () => {
			if (status.location(l.path)?.counters.ws_open > 0)
				return "409: another client holds this PAIR, and it has room for one. " +
					"Close it there (another tab?), then connect again.";
			return refusal(status, "another client holds this PAIR (409)");
		},
	});
	const submit = () => {
		if (!channel.open)
			return;
		channel.send(text.value);
		messages.add("out", text.value);
		text.select();
	};
	return {
		element: form(submit, channel.element,
			h("div", { class: "row end" }, field("Text", text), send), messages.element),
		stop: () => channel.drop(),
	};
}
