/* The directives of the core, and the methods. */
#include "engine/conf.h"
#include "engine/logfile.h"

static const char *const workers_words[] = { "auto", NULL };

const zg_directive_t zg_conf_gateway_rows[] = {
	ZG_LIST(zg_gateway_t, listen, .def = "127.0.0.1:8080",
	        .doc = "Addresses to serve: host:port, *:port, [v6]:port or unix:/path; port 0 is "
	               "any free one."),
	ZG_INT(zg_gateway_t, workers, .def = "1", .min = "1", .max = "64", .choices = workers_words,
	       .fixed = true,
	       .doc = "Threads that serve clients; auto: one for each processor."),
	ZG_BOOL(zg_gateway_t, master, .def = "no", .fixed = true,
	        .doc = "Whether a small parent process stands in front, which holds the listening "
	               "sockets and starts the gateway again at once when it crashes."),
	ZG_STRING(zg_gateway_t, user, .fixed = true,
	          .doc = "User to become when everything is open; only if started as root."),
	ZG_STRING(zg_gateway_t, group, .fixed = true,
	          .doc = "Group to become with it; the user's own if not given."),
	ZG_LIST(zg_gateway_t, load_module,
	        .doc = "Modules to load, each a .so file built for this zgate."),
	ZG_LIST(zg_gateway_t, include,
	        .doc = "More files to read, such as conf.d/*.ini; read in order of their names."),
	ZG_PATH(zg_gateway_t, pid, .fixed = true,
	        .doc = "File that holds the process id while zgate runs; none if not given."),
	ZG_PATH(zg_gateway_t, error_log, .choices = zg_logfile_words,
	        .doc = "File to log to, or stderr or stdout; standard error if not given."),
	ZG_ENUM(zg_gateway_t, log_level, .def = "info", .choices = zg_log_level_names,
	        .doc = "Lines of this level and above are logged."),
	ZG_PATH(zg_gateway_t, access_log, .choices = zg_logfile_words,
	        .doc = "File for a line about every request and WebSocket session, or stderr or "
	               "stdout; none if not given."),
	ZG_STRING(zg_gateway_t, access_format, .def = "combined",
	          .doc = "The form of these lines: combined, json, or a text with variables such as "
	                 "$status; `zgate -L access_format` lists them."),
	ZG_INT(zg_gateway_t, max_connections, .def = "10000", .min = "1", .max = "1000000",
	       .doc = "Clients connected at once; a further one is answered 503."),
	ZG_MSEC(zg_gateway_t, header_timeout, .def = "10s", .min = "100ms", .max = "10m",
	        .doc = "How long a client has to send a whole request head; it is closed after that."),
	ZG_MSEC(zg_gateway_t, body_timeout, .def = "30s", .min = "100ms", .max = "1h",
	        .doc = "How long a request's body may stay without progress; it must also arrive at "
	               "1 KiB/s or more on average."),
	ZG_MSEC(zg_gateway_t, idle_timeout, .def = "75s", .min = "1s", .max = "24h",
	        .doc = "How long a connection is kept open between two requests."),
	ZG_MSEC(zg_gateway_t, shutdown_timeout, .def = "10s", .min = "0ms", .max = "10m",
	        .doc = "How long requests in flight have to finish on QUIT."),
	ZG_SIZE(zg_gateway_t, max_header, .def = "16k", .min = "1k", .max = "64k",
	        .doc = "Largest request head; 431 for a larger one."),
	ZG_SIZE(zg_gateway_t, max_body, .def = "1m", .min = "0", .max = "1g",
	        .doc = "Largest request body or WebSocket message, for locations that do not say."),
	ZG_DIRECTIVE_END
};

static const char *const overflow_names[] = {
	[ZG_OVERFLOW_DROP_OLDEST] = "drop_oldest",
	[ZG_OVERFLOW_DISCONNECT] = "disconnect",
	[ZG_OVERFLOW_CONFLATE] = "conflate",
	NULL
};

const zg_directive_t zg_conf_location_rows[] = {
	ZG_STRING(zg_location_t, bridge, .required = true,
	          .doc = "The module that serves this location."),
	ZG_LIST(zg_location_t, methods,
	        .doc = "HTTP methods that are served, the bridge's own if not given; GET brings HEAD, "
	               "and OPTIONS is always answered."),
	ZG_SIZE(zg_location_t, max_body, .min = "0", .max = "1g",
	        .doc = "Largest request body or WebSocket message; [gateway] max_body if not given."),
	ZG_NETS(zg_location_t, allow,
	        .doc = "Client addresses that are let in, such as 10.0.0.0/8, ::1, unix: or all; "
	               "others get 403."),
	ZG_NETS(zg_location_t, deny,
	        .doc = "Client addresses that get 403, even those that allow has."),
	ZG_LIST(zg_location_t, origins,
	        .doc = "Web origins that may use this location from a browser, such as "
	               "https://example.org, or * for all; only its own if not given."),
	ZG_MSEC(zg_location_t, ping, .def = "25s", .min = "1s", .max = "1h",
	        .doc = "How often an idle WebSocket is pinged; one that does not answer for twice that "
	               "is closed."),
	ZG_SIZE(zg_location_t, client_queue, .def = "1m", .min = "4k", .max = "1g",
	        .doc = "Bytes that wait for one slow client at most."),
	ZG_ENUM(zg_location_t, overflow, .def = "drop_oldest", .choices = overflow_names,
	        .doc = "What happens to a client that is too slow: when client_queue is full, the oldest "
	               "messages are dropped and counted, or it is disconnected; or (conflate, for bridges "
	               "that know topics) it gets the newest message of each topic once it can take them."),
	ZG_INT(zg_location_t, max_rate, .def = "0", .min = "0", .max = "1000000",
	       .doc = "Messages a second that one client is sent on average; what is more waits as for a "
	              "slow client. 0: as many as there are."),
	ZG_DIRECTIVE_END
};

static const struct method {
	zg_str_t name;
	unsigned bit;
} methods[] = {
	{ { "GET", 3 }, ZG_GET },       { { "HEAD", 4 }, ZG_HEAD },
	{ { "POST", 4 }, ZG_POST },     { { "PUT", 3 }, ZG_PUT },
	{ { "DELETE", 6 }, ZG_DELETE }, { { "PATCH", 5 }, ZG_PATCH },
	{ { "OPTIONS", 7 }, ZG_OPTIONS },
};

unsigned zg_method_bit(zg_str_t method)
{
	for (size_t i = 0; i < ZG_COUNT_OF(methods); i++)
		if (zg_str_eq(method, methods[i].name))
			return methods[i].bit;
	return 0;
}

/* All of them are 45 bytes. */
const char *zg_method_list(unsigned bits, char out[64])
{
	char *at = out;

	for (size_t i = 0; i < ZG_COUNT_OF(methods); i++) {
		if (!(bits & methods[i].bit))
			continue;
		if (at > out)
			at = stpcpy(at, ", ");
		at = stpcpy(at, methods[i].name.p);
	}
	*at = '\0';
	return out;
}
