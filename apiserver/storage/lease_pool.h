/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Leases for objects that expire (Events). One lease serves the writes of up to a minute, or of 5 %
 * of the time to live where that is less, and up to 1,000 keys; it lives that much longer
 * (apiserver storage/etcd3 lease_manager.go). Any thread. */
#include "apiserver/storage/store_client.h"

struct lease_pool;

struct lease_pool *lease_pool_new(struct store_client *s);
void lease_pool_free(struct lease_pool *p);

/* A lease of at least ttl_s. Calls back on `loop`. */
typedef void (*lease_cb)(void *arg, int code, const struct err *err, int64_t lease);
void lease_pool_get(struct lease_pool *p, struct loop *loop, int64_t ttl_s, lease_cb cb, void *arg);
