/* demo's worker for uploads (worker.c), apart from its smaller peers (demo.c). */
#ifndef DEMO_H
#define DEMO_H

#include "zgate.h"

#define DEMO_MESSAGE_MAX (64u << 20) /* bytes of one message from the gateway */

struct demo_counts {
	uint64_t requests, published, uploads, results, echoed, dropped, holding;
};

/* Receives from pull, hashes on the thread pool, answers on push. */
typedef struct demo_worker demo_worker_t;

/* push may have no endpoints: then there are no results. NULL: err says why. */
demo_worker_t *demo_worker_open(zg_instance_t *in, const zg_endpoints_t *pull,
                                const zg_endpoints_t *push, zg_err_t *err);
void demo_worker_close(demo_worker_t **worker);

#endif
