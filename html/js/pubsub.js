/** Trying a pubsub location: watching topics, and publishing where it may. */
import { field, form, h, setText } from "./dom.js";
import { Channel, refusal, wsUrl } from "./channel.js";
import { Messages } from "./messages.js";

const JSON_PROTOCOL = "zgate.v1";

export function pubsubForm(l, status) {
	const has = (directive) => l.sockets.some((s) => s.directive === directive);
	const watch = has("sub") ? watcher(l, status) : null;
	return {
		element: h("div", { class: "stack" }, watch?.element, has("pub") ? publisher(l) : null),
		stop: () => watch?.stop(),
	};
}

function split(text) {
	return [...new Set(text.split(",").map((t) => t.trim()).filter(Boolean))];
}

function watcher(l, status) {
	const topics = h("input", { type: "text", placeholder: "everything", spellcheck: "false",
		autocapitalize: "off", autocomplete: "off" });
	const protocol = h("select", {},
		h("option", { value: "" }, "raw messages"),
		h("option", { value: JSON_PROTOCOL }, `${JSON_PROTOCOL} (JSON)`));
	const messages = new Messages(`Messages of ${l.path}`,
		{ empty: "Connect, and messages appear here." });
	let subscribed = [];

	const channel = new Channel({
		where: () => {
			if (protocol.value)
				return { url: wsUrl(l.path), protocols: [protocol.value] };
			const query = new URLSearchParams(split(topics.value).map((t) => ["topic", t])).toString();
			return { url: wsUrl(l.path + (query && `?${query}`)) };
		},
		onopen: () => {
			subscribed = [];
			follow();
			topics.readOnly = !channel.protocol;
			protocol.disabled = true;
		},
		onmessage: (data) => {
			if (channel.protocol === JSON_PROTOCOL)
				spoken(messages, data);
			else
				messages.add("in", data);
		},
		onclose: () => topics.readOnly = protocol.disabled = false,
		refused: () => refusal(status, "a topic that `topics` does not offer"),
	});

	/** With zgate.v1, topics can change while connected. */
	const follow = () => {
		if (!channel.open || channel.protocol !== JSON_PROTOCOL)
			return;
		const wanted = split(topics.value);
		if (!wanted.length)
			wanted.push("");
		for (const topic of wanted.filter((t) => !subscribed.includes(t)))
			channel.send(JSON.stringify({ op: "subscribe", topic }));
		for (const topic of subscribed.filter((t) => !wanted.includes(t)))
			channel.send(JSON.stringify({ op: "unsubscribe", topic }));
		subscribed = wanted;
	};
	topics.addEventListener("change", follow);

	const submit = () => channel.busy ? follow() : channel.connect();
	return {
		element: form(submit,
			h("div", { class: "row" },
				field("Topics", topics, "Prefixes, separated by commas."), field("As", protocol)),
			channel.element, messages.element),
		stop: () => channel.drop(),
	};
}

/** Shows one message of zgate.v1. */
function spoken(messages, text) {
	let m;
	try {
		m = JSON.parse(text);
	} catch {
		messages.add("warn", text);
		return;
	}
	switch (m.op) {
	case "message":
		messages.add("in", m.data ?? `${m.data64} (base64)`, m.topic ?? `${m.topic64} (base64)`);
		break;
	case "gap":
		messages.add("warn", `${m.missed} messages were lost to this client`);
		break;
	case "error":
		messages.add("warn", `${m.code}: ${m.detail}`);
		break;
	case "subscribed":
	case "unsubscribed":
		messages.add("note", `${m.op} ${m.topic === "" ? "to everything" : `“${m.topic}”`}`);
		break;
	default:
		messages.add("note", text);
	}
}

function publisher(l) {
	const topic = h("input", { type: "text", value: "A", spellcheck: "false", autocapitalize: "off",
		autocomplete: "off" });
	const data = h("input", { type: "text", value: "Hello", autocomplete: "off" });
	const result = h("span", { class: "state muted", "aria-live": "polite" });
	const submit = async () => {
		setText(result, "publishing…");
		const [state, text] = await publish(l.path, topic.value, data.value);
		result.dataset.state = state;
		setText(result, text);
	};
	return form(submit,
		h("div", { class: "row" }, field("Topic", topic), field("Message", data)),
		h("div", { class: "bar" }, h("button", { type: "submit" }, "Publish"), result));
}

async function publish(path, topic, data) {
	const query = topic ? `?${new URLSearchParams({ topic })}` : "";
	try {
		const answer = await fetch(path + query, { method: "POST", body: data });
		if (answer.ok)
			return ["ok", `${answer.status} ${answer.statusText}`];
		const problem = await answer.json().catch(() => ({}));
		return ["bad", `${answer.status} ${problem.detail || answer.statusText}`];
	} catch {
		return ["bad", "No answer: the connection failed."];
	}
}
