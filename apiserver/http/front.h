/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The REST front door: makes a struct request of each HTTP exchange, hands it to the pipeline and
 * gives the answer back with the headers that every answer has.
 *
 * Limits how many requests are served at once (429), as --max-requests-inflight; watches and other
 * streams do not count. Measures every request. */
#include "common/daemon/metrics.h"
#include "common/net/http_server.h"

struct http_front;
struct pipeline;
struct request;

struct http_front_options {
	struct pipeline *pipeline;
	struct metrics *metrics;        /* NULL: nothing is measured */
	struct tls_context *tls;        /* NULL: plain, for tests */
	uint32_t max_inflight;          /* reads; 0: no limit */
	uint32_t max_mutating_inflight; /* writes; 0: no limit */
	uint32_t max_body_bytes;        /* 0: 3 MiB */
	uint32_t max_streams;           /* 0: 250 */
	/* Serves requests besides the pipeline, before it and without authentication. True: served.
	 * NULL: none. */
	bool (*early)(void *arg, struct http_exchange *x);
	void *early_arg;
};

struct http_front *http_front_new(const struct http_front_options *o);
/* The server to listen with, stop and free. */
struct http_server *http_front_server(struct http_front *f);
/* Requests that were not ended yet, streams too; any thread. */
unsigned http_front_active(const struct http_front *f);
/* After the server was stopped and no request is active. Frees the server too. */
void http_front_free(struct http_front *f);

/* The exchange behind a request that came by HTTP, for upgrades (exec, port-forward); NULL when it
 * came another way. The sink must not be used once the exchange was upgraded; call
 * http_front_upgraded(req) instead of response_end. */
struct http_exchange *http_front_exchange(const struct request *r);
void http_front_upgraded(struct request *r);
