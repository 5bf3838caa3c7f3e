/* answer: HTTP answers that the gateway itself gives: the RFC 9457 body of a
 * problem, and a whole response written straight to a connection that no HTTP
 * library has, or no longer has. */
#ifndef ZG_FRONT_ANSWER_H
#define ZG_FRONT_ANSWER_H

#include "base/buf.h"
#include "front/request.h"

#define ZG_ANSWER_MAX 4096 /* a problem's body stays under it */

/* Appends {"status","title","detail","request_id"}. */
int zg_answer_problem(zg_buf_t *out, unsigned status, const char *detail, zg_str_t request_id);
/* Whether the status carries Retry-After. */
bool zg_answer_retry_after(unsigned status);
/* Sends a problem as a complete response with Connection: close to fd,
 * without blocking; the caller closes (front/linger.h). The bytes of its body. */
size_t zg_answer_send(int fd, const zg_refusal_t *no, zg_str_t request_id);
/* Makes a request id of 24 characters; any thread. */
void zg_answer_request_id(char out[25]);

#endif
