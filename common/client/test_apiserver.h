/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The service `Resources` in memory, for tests of what speaks with an apiserver: objects of any
 * kind as bare protobuf, resourceVersions, conflicts, lists and watches of one namespace or all. No
 * selectors, no validation; a patch is only noted. Lives on one loop. */
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/net/rpc_server.h"

struct test_apiserver {
	struct loop *loop;
	struct rpc_server *server;
	char endpoint[64];  /* "127.0.0.1:4711" */
	struct map objects; /* "group/resource/ns/name" -> struct blob */
	struct list watches;
	uint64_t revision;
	int writes; /* that went well */
	int patches;
	struct buf last_patch; /* its text */
	bool refuse;           /* answer every call with Unavailable */
	bool strict;           /* patches of what is not there are refused */
	bool stopped;
};

void test_apiserver_init(struct test_apiserver *s, struct rpc_core *core, struct loop *loop);
/* Runs the loop until the server has stopped. */
void test_apiserver_deinit(struct test_apiserver *s);
/* Tells every watch that its version is forgotten (410): what changes in `objects` before the loop
 * runs again is seen by the next list alone. */
void test_apiserver_expire(struct test_apiserver *s);
/* The object's bytes, or empty. key: "coordination.k8s.io/leases/kube-system/x". */
struct slice test_apiserver_get(const struct test_apiserver *s, const char *key);
