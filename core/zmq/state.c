#include "zmq/state.h"

#include <stdio.h>

/* A machine that is there answers an attempt at once, also with a refusal. */
#define ANSWER_MS 1000

static const char *const names[] = {
	[ZG_ENDPOINT_CONNECTED] = "connected", [ZG_ENDPOINT_BOUND] = "bound",
	[ZG_ENDPOINT_CONNECTING] = "connecting", [ZG_ENDPOINT_HANDSHAKING] = "handshaking",
	[ZG_ENDPOINT_LOST] = "lost",
	[ZG_ENDPOINT_UNREACHABLE] = "unreachable", [ZG_ENDPOINT_REFUSED] = "refused",
	[ZG_ENDPOINT_HANDSHAKE_FAILED] = "handshake_failed", [ZG_ENDPOINT_WRONG_TYPE] = "wrong_type",
};

const char *zg_endpoint_state_name(zg_endpoint_state_t state)
{
	return names[state];
}

void zg_state_init(zg_state_t *s, bool bound, uint64_t now)
{
	*s = (zg_state_t){ .state = bound ? ZG_ENDPOINT_BOUND : ZG_ENDPOINT_CONNECTING,
	                   .bound = bound, .since = now };
}

static void set(zg_state_t *s, zg_endpoint_state_t state, uint64_t now)
{
	if (s->state != state)
		s->since = now;
	s->state = state;
}

static bool failed_handshake(const zg_state_t *s)
{
	return s->state == ZG_ENDPOINT_HANDSHAKE_FAILED || s->state == ZG_ENDPOINT_WRONG_TYPE;
}

/* A silent stranger stays here until libzmq's patience, 30 s, is over. */
static void opened(zg_state_t *s, uint64_t now)
{
	s->closed = true;
	if (!failed_handshake(s))
		set(s, ZG_ENDPOINT_HANDSHAKING, now);
}

static void joined(zg_state_t *s, uint64_t now)
{
	s->peers++;
	s->attempts = 0;
	set(s, s->bound ? ZG_ENDPOINT_BOUND : ZG_ENDPOINT_CONNECTED, now);
}

static void left(zg_state_t *s, uint64_t now)
{
	if (s->peers > 0)
		s->peers--;
	s->disconnects++;
	if (!s->bound && s->peers == 0)
		set(s, ZG_ENDPOINT_LOST, now);
}

/* libzmq does not say why an attempt failed: how long it took tells. */
static void attempt_failed(zg_state_t *s, uint64_t now)
{
	s->silent = s->tried && now - s->tried >= ANSWER_MS;
	s->closed = true;
	set(s, !s->silent ? ZG_ENDPOINT_REFUSED : ZG_ENDPOINT_UNREACHABLE, now);
}

/* It will be tried again; without an attempt that failed there could be none. */
static void retrying(zg_state_t *s, uint64_t now)
{
	s->attempts++;
	if (!s->closed && s->state != ZG_ENDPOINT_LOST && !failed_handshake(s)) {
		s->silent = false;
		set(s, ZG_ENDPOINT_UNREACHABLE, now);
	}
	s->closed = false;
	s->tried = 0;
}

/* One of many who come to a bound endpoint does not make it bad while others
 * are there. */
static void failed(zg_state_t *s, zg_endpoint_state_t how, uint64_t now)
{
	s->handshakes_failed++;
	if (!s->bound || s->peers == 0)
		set(s, how, now);
}

void zg_state_note(zg_state_t *s, zg_monitor_event_t event, uint64_t now)
{
	switch (event) {
	case ZG_MONITOR_TRYING:     s->tried = now; break;
	case ZG_MONITOR_CLOSED:     attempt_failed(s, now); break;
	case ZG_MONITOR_RETRYING:   retrying(s, now); break;
	case ZG_MONITOR_OPENED:     opened(s, now); break;
	case ZG_MONITOR_JOINED:     joined(s, now); break;
	case ZG_MONITOR_LEFT:       left(s, now); break;
	case ZG_MONITOR_WRONG_TYPE: failed(s, ZG_ENDPOINT_WRONG_TYPE, now); break;
	case ZG_MONITOR_FAILED:     failed(s, ZG_ENDPOINT_HANDSHAKE_FAILED, now); break;
	}
}

void zg_state_say(const zg_state_t *s, const char *type, const char *wants, char *out, size_t size)
{
	static const char *const texts[] = {
		[ZG_ENDPOINT_CONNECTING] = "nobody has answered there yet",
		[ZG_ENDPOINT_HANDSHAKING] = "somebody listens there, but has not spoken ZeroMQ yet",
		[ZG_ENDPOINT_LOST] = "the connection to the peer was lost",
		[ZG_ENDPOINT_UNREACHABLE] = "no host of that name, or no way to it",
		[ZG_ENDPOINT_REFUSED] = "nobody listens there",
	};

	switch (s->state) {
	case ZG_ENDPOINT_CONNECTED:
		snprintf(out, size, "connected");
		break;
	case ZG_ENDPOINT_BOUND:
		snprintf(out, size, s->peers ? "bound, %u peer%s connected" : "bound, nobody has connected",
		         s->peers, s->peers == 1 ? "" : "s");
		break;
	case ZG_ENDPOINT_WRONG_TYPE:
	case ZG_ENDPOINT_HANDSHAKE_FAILED:
		snprintf(out, size, s->state == ZG_ENDPOINT_WRONG_TYPE
		         ? "the peer is of the wrong type (a %s needs %s), or no ZeroMQ program"
		         : "the handshake with the peer failed: it is no ZeroMQ program, or of the wrong "
		           "type (a %s needs %s)", type, wants);
		break;
	default:
		snprintf(out, size, "%s", s->state == ZG_ENDPOINT_UNREACHABLE && s->silent
		         ? "attempts to connect get no answer" : texts[s->state]);
		break;
	}
}
