/* request: an HTTP request as a module sees it: a value with one owner. From
 * the module's request hook on it is the module's, until it calls exactly one
 * of the reply functions (from the hook or any time later, on the worker's
 * thread) or its cancel hook is called. Strings live as long as the request. */
#ifndef ZG_FRONT_REQUEST_H
#define ZG_FRONT_REQUEST_H

#include "base/buf.h"
#include "base/msg.h"
#include "engine/module.h"

struct zg_request {
	zg_instance_t *to;
	unsigned method;       /* ZG_GET …; HEAD where the module serves GET */
	zg_str_t method_name;
	zg_str_t path;         /* normalised and decoded; NUL-terminated */
	zg_str_t below;        /* what follows the location's path, without the slash */
	zg_str_t query;        /* raw, without "?" */
	zg_str_t id;           /* X-Request-ID, taken over or made */
	zg_str_t content_type; /* n == 0: none */
	zg_str_t remote;       /* the client's address, without the port */
	zg_str_t protocol;     /* of a handshake: the subprotocol chosen, n == 0: none */
	zg_str_t body;         /* whole; room behind it is NUL-terminated */
	void *ctx;             /* the module's */
	/* the front's: walks the header fields wherever they are kept */
	void (*each_header)(const zg_request_t *req,
	                    void (*fn)(void *ctx, zg_str_t name, zg_str_t value), void *ctx);
};

/* The first header field of that name, n == 0 if there is none. */
zg_str_t zg_request_header(const zg_request_t *req, const char *name);
/* Every header field, in order. */
void zg_request_headers(const zg_request_t *req,
                        void (*fn)(void *ctx, zg_str_t name, zg_str_t value), void *ctx);
/* The decoded value of a query parameter into out (NUL-terminated, cut never):
 * its length, -1: absent or a bad escape, -2: longer than size - 1. `nth`
 * counts from 0 for repeated parameters. */
long zg_request_param(const zg_request_t *req, const char *name, unsigned nth, char *out,
                      size_t size);
/* How many times a query parameter is there. */
unsigned zg_request_params(const zg_request_t *req, const char *name);

/* A worker has the request from now on: until here it waited, from here to the
 * reply is the worker's time. Called again, for another worker, it counts anew. */
void zg_request_handed(zg_request_t *req);

/* Adds a response header before a reply; copies. Values with control bytes are
 * refused (-1). Content-Type, Content-Length, Connection and X-Request-ID are
 * the core's. */
int zg_request_add_header(zg_request_t *req, const char *name, const char *value);

/* Replies; the request is gone after the call. type is copied. */
void zg_request_reply(zg_request_t *req, unsigned status, const char *type, const void *body,
                      size_t n);
/* The same without copying: takes over b's memory, which is then empty. */
void zg_request_reply_buf(zg_request_t *req, unsigned status, const char *type, zg_buf_t *b);
/* Sends size bytes at offset of the open file, which is then closed; by sendfile. */
void zg_request_reply_file(zg_request_t *req, unsigned status, const char *type, int fd,
                           uint64_t offset, uint64_t size);
/* An RFC 9457 answer; detail is a sentence for the person who has to act.
 * 503 and 429 carry Retry-After. */
void zg_request_problem(zg_request_t *req, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Why a handshake was refused. */
struct zg_refusal {
	unsigned status;
	const char *header, *value; /* one more header, e.g. Allow; or NULL */
	char room[64];              /* that value may live in */
	char detail[256];
};
/* Fills it and returns -1. */
int zg_refuse(zg_refusal_t *no, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The standard reason phrase ("Not Found"); "Unknown" for others. */
const char *zg_request_phrase(unsigned status);

#endif
