/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Named health checks and the answers of /healthz, /livez and /readyz, in the format of
 * apiserver's pkg/server/healthz. One loop's. */
#include <stdbool.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/vec.h"

enum health_set {
	HEALTH_LIVEZ = 1,
	HEALTH_READYZ = 2,
	HEALTH_HEALTHZ = 4,
	HEALTH_ALL = 7,
};

struct health_check {
	const char *name;
	unsigned sets; /* enum health_set */
	/* 0, or fills err: the check fails. NULL: always passes. */
	int (*check)(void *arg, struct err *err);
	void *arg;
};

struct health {
	VEC(struct health_check) checks;
};

void health_init(struct health *h); /* with the check "ping" */
void health_deinit(struct health *h);
/* The name must outlive h. */
void health_add(struct health *h, const char *name, unsigned sets,
                int (*check)(void *arg, struct err *err), void *arg);
/* Answers one request: path is "/livez", "/readyz", "/healthz" or one check of these
 * ("/livez/ping"), query what stood after '?' ("verbose&exclude=etcd"). Returns the HTTP status
 * (404: not a health path) and fills the body (text/plain). */
int health_answer(struct health *h, struct slice path, struct slice query, struct buf *body);
