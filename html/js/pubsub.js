/** Trying a pubsub location: watching topics, and publishing where it may. */
import { field, form, h, setText } from "./dom.js";
import { Bar, Channel, refusal, wsUrl } from "./channel.js";
import { Feed } from "./feed.js";
import { Messages } from "./messages.js";

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
	const way = h("select", {},
		h("option", { value: "raw" }, "raw messages"),
		h("option", { value: "zgate.js" }, "zgate.js"));
	const messages = new Messages(`Messages of ${l.path}`,
		{ empty: "Connect, and messages appear here." });
	const changed = () => {
		way.disabled = channel.busy || feed.busy;
		topics.readOnly = channel.busy; // the other way, topics can change while connected
	};
	const bar = new Bar(() => feed.busy ? feed.drop() : channel.busy ? channel.toggle() : watch());
	const feed = new Feed(l.path, messages, bar, changed);
	const channel = new Channel({
		where: () => {
			const query = new URLSearchParams(split(topics.value).map((t) => ["topic", t])).toString();
			return wsUrl(l.path + (query && `?${query}`));
		},
		onopen: changed,
		onmessage: (data) => messages.add("in", data),
		onclose: changed,
		refused: () => refusal(status, "a topic that `topics` does not offer"),
	}, bar);

	const watch = () => {
		if (way.value === "raw")
			channel.connect();
		else
			feed.follow(topics.value.trim() ? split(topics.value) : [""]);
	};
	topics.addEventListener("change", () => feed.busy && watch());

	return {
		element: form(watch,
			h("div", { class: "row" },
				field("Topics", topics, "Prefixes, separated by commas."), field("As", way)),
			bar.element, messages.element),
		stop: () => {
			channel.drop();
			feed.drop();
		},
	};
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
