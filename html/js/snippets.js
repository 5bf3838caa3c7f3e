/** Lines to paste elsewhere: for web clients, and for the ZeroMQ side. */
import { wsUrl } from "./channel.js";
import { SERVICE } from "./status.js";

const CLIENT = new URL("../zgate.js", import.meta.url).pathname;

/** For a POSIX shell. */
function quote(word) {
	return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function href(path) {
	return quote(new URL(path, location.href).href);
}

/** A socket's endpoints as [{verb, address}], seen from the peer: who binds and who connects swap. */
function opposite(socket) {
	let verb = socket.bound ? "connect" : "bind";
	const out = [];
	for (const word of socket.endpoints.split(/[\s,]+/).filter(Boolean)) {
		if (word === "bind" || word === "connect")
			verb = word === "bind" ? "connect" : "bind";
		else if (!word.startsWith("inproc:"))
			out.push({ verb, address: word.replace(/^tcp:\/\/(\*|0\.0\.0\.0|\[::\])(?=:)/,
				`tcp://${location.hostname}`) });
	}
	return out;
}

const attach = (name, socket) => opposite(socket)
	.map((e) => `${name}.${e.verb}(${JSON.stringify(e.address)})`);

function python(...lines) {
	return ["python3 -c '", ...lines].join("\n") + "'";
}

/** Per directive: what an ordinary peer of that socket looks like in pyzmq. */
const PEERS = {
	req: (s) => ["a REP worker", python("import zmq", "s = zmq.Context().socket(zmq.REP)",
		...attach("s", s), "while True:", "    s.send(b\"Hello \" + s.recv_multipart()[-1])")],
	sub: (s) => ["a PUB", python("import time, zmq", "s = zmq.Context().socket(zmq.PUB)",
		...attach("s", s), "for n in range(10**9):", "    s.send_string(f\"A {n}\")",
		"    time.sleep(1)")],
	pub: (s) => ["a SUB", python("import zmq", "s = zmq.Context().socket(zmq.SUB)",
		"s.subscribe(\"\")", ...attach("s", s), "while True:", "    print(s.recv_multipart())")],
	pair: (s) => ["a PAIR", python("import zmq", "s = zmq.Context().socket(zmq.PAIR)",
		...attach("s", s), "while True:", "    m = s.recv()", "    print(m)", "    s.send(m)")],
};

function worker(push, pull) {
	const lines = ["import zmq", "c = zmq.Context()", "i = c.socket(zmq.PULL)", ...attach("i", push)];
	if (!pull)
		return ["a PULL worker", python(...lines, "while True:", "    print(i.recv_multipart())")];
	return ["a PULL worker", python(...lines, "o = c.socket(zmq.PUSH)", ...attach("o", pull),
		"while True:", "    o.send_multipart(i.recv_multipart())")];
}

/** What a web client types: [{name, text}]. */
export function clientSnippets(l) {
	const watch = (path) => `new WebSocket(${JSON.stringify(wsUrl(path))})\n  .onmessage = e => console.log(e.data)`;
	const resuming = (path) => `const { connect } = await import(${JSON.stringify(CLIENT)})\n` +
		`connect(${JSON.stringify(path)}).subscribe("A", m => console.log(m.data))`;
	const has = (directive) => l.sockets.some((s) => s.directive === directive);
	switch (l.bridge) {
	case "reqrep":
		return [{ name: "curl", text: !l.methods.length || l.methods.includes("POST")
			? `curl -d Hello ${href(l.path)}` : `curl -X ${l.methods[0]} ${href(`${l.path}?Hello`)}` }];
	case "pubsub":
		return [
			has("sub") && { name: "browser", text: watch(`${l.path}?topic=A`) },
			has("sub") && { name: "browser, zgate.js", text: resuming(l.path) },
			has("pub") && { name: "curl", text: `curl -d Hello ${href(`${l.path}?topic=A`)}` },
		].filter(Boolean);
	case "pipeline":
		return [
			{ name: "curl", text: `curl -T photo.jpg ${href(l.path)}` },
			has("pull") && { name: "browser", text: watch(l.path) },
		].filter(Boolean);
	case "pair":
		return [{ name: "browser", text: `ws = new WebSocket(${JSON.stringify(wsUrl(l.path))})\n` +
			"ws.onmessage = e => console.log(e.data)\nws.onopen = () => ws.send(\"Hello\")" }];
	case "status":
		return [{ name: "curl", text: `curl ${href(`${l.path}/metrics`)}` }];
	case SERVICE:
		return [];
	default:
		return [{ name: "curl", text: `curl -i ${href(l.path)}` }];
	}
}

/** What its ZeroMQ peers may look like: [{name, text}]. */
export function peerSnippets(l) {
	const find = (directive) => l.sockets.find((s) => s.directive === directive);
	const reachable = (s) => opposite(s).length > 0;
	const out = [];
	const push = find("push");
	if (push && reachable(push))
		out.push(worker(push, find("pull")));
	for (const s of l.sockets)
		if (PEERS[s.directive] && reachable(s))
			out.push(PEERS[s.directive](s));
	return out.map(([name, text]) => ({ name, text }));
}

/** Services that are bound where a peer of this location would have to bind. */
export function rivals(l, services) {
	const binds = l.sockets.flatMap(opposite).filter((e) => e.verb === "bind").map((e) => e.address);
	return services.filter((service) => service.sockets?.some((s) =>
		s.bound && binds.some((address) => s.endpoints.split(/[\s,]+/).includes(address))))
		.map((service) => service.name);
}
