/* What a request asks for: topics, where to go on, and in which form. */
#include "pubsub.h"

static int check_topic(const struct pubsub *p, const zg_request_t *req, unsigned nth,
                       size_t *unknown, zg_refusal_t *no)
{
	char text[PUBSUB_TOPIC_MAX + 1];
	long n = zg_request_param(req, "topic", nth, text, sizeof text);
	zg_str_t topic = zg_str_n(text, n > 0 ? (size_t)n : 0);

	if (n == -2)
		return zg_refuse(no, 400, "A topic is longer than %d bytes.", PUBSUB_TOPIC_MAX);
	if (n < 0)
		return zg_refuse(no, 400, "A topic has a bad percent escape.");
	if (req->protocol.n > 0 && !zg_str_eq(req->protocol, ZG_STR(PUBSUB_ZWS_NAME)) &&
	    !zg_utf8_valid(topic))
		return zg_refuse(no, 400, "A topic is not UTF-8; " PUBSUB_V1_NAME " is.");
	if (!pubsub_allowed(p, topic))
		return zg_refuse(no, 403, "This location does not offer one of the topics.");
	*unknown += !zg_map_get(&p->topics, topic);
	return 0;
}

/* A browser that reconnects a stream sends the header; its query is the old one. */
static long cursor_of(const zg_request_t *req, char text[PUBSUB_CURSOR_SIZE])
{
	zg_str_t header = zg_request_header(req, "Last-Event-ID");
	long n;

	if (header.n >= PUBSUB_CURSOR_SIZE)
		return -2;
	if (header.n > 0) {
		memcpy(text, header.p, header.n);
		return (long)header.n;
	}
	n = zg_request_param(req, "last_event_id", 0, text, PUBSUB_CURSOR_SIZE);
	return n == -1 ? zg_request_param(req, "cursor", 0, text, PUBSUB_CURSOR_SIZE) : n;
}

/* Where the client wants to go on, if it says. -1: that is no cursor. */
int pubsub_begin_of(const struct pubsub *p, const zg_request_t *req, struct pubsub_begin *begin)
{
	char text[PUBSUB_CURSOR_SIZE];
	long n = cursor_of(req, text);
	bool ours;

	*begin = (struct pubsub_begin){ .resumes = n != -1 && n != 0 };
	if (!begin->resumes)
		return 0;
	if (n < 0 || pubsub_cursor_parse(p->in, zg_str_n(text, (size_t)n), &begin->since, &ours) != 0)
		return -1;
	begin->foreign = !ours;
	return 0;
}

static const struct {
	zg_str_t name;
	enum pubsub_encoding encoding;
} protocols[] = {
	{ { "", 0 }, PUBSUB_RAW },
	{ { PUBSUB_V1_NAME, sizeof PUBSUB_V1_NAME - 1 }, PUBSUB_V1 },
	{ { PUBSUB_ZWS_NAME, sizeof PUBSUB_ZWS_NAME - 1 }, PUBSUB_ZWS },
	{ { PUBSUB_EVENTS, sizeof PUBSUB_EVENTS - 1 }, PUBSUB_SSE },
	{ { PUBSUB_EVENTS_JSON, sizeof PUBSUB_EVENTS_JSON - 1 }, PUBSUB_SSE_JSON },
	{ { PUBSUB_ANSWER, sizeof PUBSUB_ANSWER - 1 }, PUBSUB_POLL },
};

int pubsub_encoding_of(zg_str_t protocol)
{
	for (size_t i = 0; i < ZG_COUNT_OF(protocols); i++)
		if (zg_str_eq(protocol, protocols[i].name))
			return protocols[i].encoding;
	return -1;
}

static bool accepts_events(zg_str_t accept)
{
	zg_str_t piece, type;

	while (zg_str_cut(&accept, ',', &piece))
		if (zg_str_cut(&piece, ';', &type) &&
		    zg_str_ieq(zg_str_trim(type), ZG_STR("text/event-stream")))
			return true;
	return false;
}

const char *pubsub_stream(const zg_instance_t *in, const zg_request_t *req)
{
	char format[8];

	(void)in;
	if (!accepts_events(zg_request_header(req, "Accept")))
		return NULL;
	if (zg_request_param(req, "format", 0, format, sizeof format) == 4 && !strcmp(format, "json"))
		return PUBSUB_EVENTS_JSON;
	return PUBSUB_EVENTS;
}

int pubsub_check_query(struct pubsub *p, const zg_request_t *req, zg_refusal_t *no)
{
	unsigned topics = zg_request_params(req, "topic");
	size_t unknown = 1; /* without topics: the empty one */
	struct pubsub_begin begin;

	if (topics > PUBSUB_RAW_MAX)
		return zg_refuse(no, 400, "More than %d topics in a query; subscribe to them over "
		                 PUBSUB_V1_NAME ".", PUBSUB_RAW_MAX);
	for (unsigned i = 0; i < topics; i++)
		if (check_topic(p, req, i, &unknown, no) != 0)
			return -1;
	if (pubsub_begin_of(p, req, &begin) != 0)
		return zg_refuse(no, 400, "last_event_id is no cursor that this gateway gave.");
	if (p->topics.count + unknown > p->topics.max)
		return zg_refuse(no, 503, "The clients of this location have too many topics.");
	return 0;
}

/* Clients of zgate.v1 and ZWS2.0 say later. */
int pubsub_topics_of(struct pubsub *p, enum pubsub_encoding encoding, const zg_request_t *req,
                     struct pubsub_set *set)
{
	unsigned topics = zg_request_params(req, "topic");
	char text[PUBSUB_TOPIC_MAX + 1];
	int rc = 0;

	if (topics == 0 && encoding != PUBSUB_V1 && encoding != PUBSUB_ZWS)
		rc = pubsub_set_add(p, set, ZG_STR(""));
	for (unsigned i = 0; i < topics && rc == 0; i++) {
		long n = zg_request_param(req, "topic", i, text, sizeof text);

		rc = n < 0 ? -1 : pubsub_set_add(p, set, zg_str_n(text, (size_t)n));
	}
	return rc;
}

