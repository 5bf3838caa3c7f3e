/* head: the strict judge of an HTTP/1 request head, in front of both
 * libraries' parsers (RFC 9112 sections 2 to 6, RFC 9110 section 5). Two ways
 * in, one set of rules: zg_head_parse reads the raw bytes of a connection's
 * first request; zg_head_begin, _field and _end judge a later request from
 * the lines that the HTTP library shows. Never allocates; the strings in
 * zg_head_t point into the caller's bytes. */
#ifndef ZG_BASE_HEAD_H
#define ZG_BASE_HEAD_H

#include "base/str.h"
#include <stdint.h>

#define ZG_HEAD_FIELDS_MAX 100 /* more header lines are refused with 431 */

typedef enum zg_head_verdict {
	ZG_HEAD_MORE,   /* the head is not complete yet */
	ZG_HEAD_OK,
	ZG_HEAD_REFUSE, /* status and reason say why; answer and close */
} zg_head_verdict_t;

typedef struct zg_head {
	zg_str_t method, target;    /* target as sent: origin-, absolute- or asterisk-form */
	unsigned minor;             /* HTTP/1.minor: 0 or 1 */
	size_t size;                /* bytes of the head with its empty line */
	/* the fields that decide framing and routing; n == 0 and p == NULL: absent.
	 * host is the target's for absolute-form (RFC 9112, 3.2.2); connection and
	 * upgrade are the first lines; expect is left out in HTTP/1.0 (RFC 9110, 10.1.1) */
	zg_str_t host, connection, upgrade, expect, origin, request_id, content_type;
	zg_str_t ws_key, ws_version, ws_protocol; /* ws_protocol: first line; see ws_protocols */
	unsigned ws_protocols;      /* lines of Sec-WebSocket-Protocol */
	uint64_t content_length;    /* meaningful if has_length */
	bool has_length, chunked, keep_alive;
	bool wants_websocket;       /* Upgrade holds "websocket" */
	/* for ZG_HEAD_REFUSE */
	unsigned status;            /* 400 414 417 426 431 501 505 */
	const char *reason;         /* a static sentence for the client */
	/* private, while judging */
	unsigned fields;
	bool says_close, says_keep_alive, says_upgrade; /* over all Connection lines */
} zg_head_t;

/* Judges the bytes at hand, at most max of which may be head. Bare CR, NUL and
 * other control bytes, bare LF as a line end, obsolete folding, blanks before
 * the colon, no or several Host, a Host with userinfo or forbidden bytes,
 * Content-Length repeated, signed, over 18 digits or beside
 * Transfer-Encoding, any transfer coding but a single final "chunked" (501),
 * Transfer-Encoding in HTTP/1.0, versions but 1.0 and 1.1 (505), a request
 * line over max (414), a head over max (431), an Expect but 100-continue
 * (417): all refused. Up to one empty line before the request line is passed
 * over (RFC 9112, 2.2). */
zg_head_verdict_t zg_head_parse(zg_head_t *h, const char *bytes, size_t n, size_t max);

/* The same rules line by line. Each returns ZG_HEAD_OK or ZG_HEAD_REFUSE; what
 * was refused once stays refused. version is "HTTP/1.1" as sent. */
zg_head_verdict_t zg_head_begin(zg_head_t *h, zg_str_t method, zg_str_t target, zg_str_t version);
zg_head_verdict_t zg_head_field(zg_head_t *h, zg_str_t name, zg_str_t value);
zg_head_verdict_t zg_head_end(zg_head_t *h);

/* Whether a head that wants a WebSocket is a correct handshake (RFC 6455,
 * 4.2.1): GET, 1.1, Connection: upgrade, a key of 16 bytes in base64, no
 * body, version 13. Refuses with 400, or 426 for another version. */
zg_head_verdict_t zg_head_websocket(zg_head_t *h);

/* Whether an X-Request-ID may be taken over: 1 to 64 of A-Z a-z 0-9 . _ - */
bool zg_head_request_id_ok(zg_str_t id);

#endif
