/* SPDX-License-Identifier: Apache-2.0 */
/* The ServiceAccount controller: every active namespace has a service account "default". */
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "proto/core_v1.pb-c.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

enum { WORKERS = 4 };

struct serviceaccounts {
	struct client *client;
	struct informer *namespaces, *accounts;
	struct workqueue *queue;
};

static const struct client_resource accounts_resource = {"", "v1", "serviceaccounts"};

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct serviceaccounts *s = arg;
	const struct informer_object *ns = informer_get_key(s->namespaces, key);
	if (!ns || ns->deleting || informer_get(s->accounts, key, "default")) {
		workqueue_done(q, key);
		return;
	}
	_cleanup_arena_ struct arena a = {0};
	struct client_target t = {.resource = accounts_resource, .ns = key};
	CoreV1__ServiceAccount *sa =
	    (CoreV1__ServiceAccount *)pb_new(&core_v1__service_account_schema, &a);
	sa->metadata->name = arena_strdup(&a, "default");
	sa->metadata->namespace_ = arena_strdup(&a, key);
	client_write_msg(s->client, true, &t, &core_v1__service_account_schema, &sa->base,
	                 work_created, work_begin(q, key));
}

static void on_namespace(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct serviceaccounts *)arg)->queue, o->key);
}

static void on_namespace_update(const struct informer_object *old, const struct informer_object *o,
                                void *arg)
{
	on_namespace(o, arg);
}

static void on_account_delete(const struct informer_object *old, void *arg)
{
	workqueue_add(((struct serviceaccounts *)arg)->queue, old->ns);
}

static void *make(struct manager *m)
{
	struct serviceaccounts *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->client = manager_client(m, "service-account-controller");
	s->queue = manager_queue(m, "serviceaccount", WORKERS, process, s);
	s->namespaces = informers_get(
	    m->informers, &(struct client_resource){"", "v1", "namespaces"}, NULL, NULL, NULL);
	s->accounts =
	    informers_get(m->informers, &accounts_resource, NULL, NULL, "metadata.name=default");
	informer_add_handler(
	    s->namespaces, &(struct informer_handler){on_namespace, on_namespace_update, NULL, s});
	informer_add_handler(s->accounts,
	                     &(struct informer_handler){NULL, NULL, on_account_delete, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct serviceaccounts *)self)->queue);
}

static void free_self(void *self)
{
	struct serviceaccounts *s = self;
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_serviceaccount = {
    .name = "serviceaccount-controller", .make = make, .run = run, .free = free_self};
