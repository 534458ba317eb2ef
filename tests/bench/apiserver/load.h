/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of api_load share: the options, the objects that it writes, and the two ways to an
 * API server. Everything runs on one loop. */
#include <stdbool.h>
#include "common/base/buf.h"
#include "common/net/loop.h"
#include "common/base/err.h"
#include "proto/schema.h"

enum load_op { LOAD_CREATE, LOAD_GET, LOAD_UPDATE, LOAD_PATCH, LOAD_APPLY, LOAD_LIST, LOAD_WATCH };

struct load_resource {
	const char *group, *version, *plural, *kind;
	const char *path; /* of the collection */
};

struct load_options {
	const char *url, *grpc; /* one of them: "https://host:port", "host:port" */
	const char *ca, *cert, *key;
	enum load_op op;
	const struct load_resource *resource;
	const char *prefix;    /* objects are PREFIX-0, PREFIX-1 ... */
	const char *accept;    /* of answers by REST; lists and watches by gRPC are protobuf */
	unsigned long clients; /* that ask one after the other, each on a connection of its own */
	unsigned long count;   /* operations in all */
	unsigned long names;   /* get, update, patch, apply: this many objects in turn */
	unsigned long nodes;   /* pods: are on node-0 ... in turn */
	unsigned long limit;   /* of a list; 0: whole */
	unsigned long rate;    /* operations a second; 0: as fast as they are answered */
	unsigned long watchers, connections; /* connections: of watchers by gRPC */
	const char *by;                      /* all, name, node: what each watcher selects */
	const char *version;                 /* from which watches start */
	bool hold; /* watchers: say "ready", write after a line of input */
};

/* The n-th object in JSON, written for the turn-th time. */
void load_object(const struct load_options *o, unsigned long n, unsigned long turn,
                 struct buf *out);
/* The same as bare protobuf. */
void load_object_pb(const struct load_options *o, unsigned long n, unsigned long turn,
                    struct buf *out);
/* The body of a merge patch. */
void load_patch(const struct load_options *o, unsigned long turn, struct buf *out);
/* What watcher i selects; "" when that is everything. */
void load_selector(const struct load_options *o, unsigned long i, struct buf *out);
const struct load_resource *load_resource_find(const char *plural);

/* An operation is done: whether it went well, and the bytes of its answer. */
typedef void (*load_done_fn)(void *arg, bool ok, size_t bytes);

struct load_watch {
	unsigned long i;
	void (*ready)(struct load_watch *w); /* the answer has begun, as far as one can tell */
	void (*events)(struct load_watch *w, size_t n);
	void (*ended)(struct load_watch *w);
	void *arg;
	unsigned long seen; /* the user's */
};

/* A way to the API server; it lives as long as the process. */
struct load_way {
	/* Operation n of client i. Answers once, not from within this call. */
	void (*start)(struct load_way *way, unsigned long client, enum load_op op, unsigned long n,
	              load_done_fn done, void *arg);
	void (*watch)(struct load_way *way, struct load_watch *w);
};
struct load_way *load_rest_new(const struct load_options *o, struct loop *loop, struct err *err);
struct load_way *load_grpc_new(const struct load_options *o, struct loop *loop, struct err *err);
