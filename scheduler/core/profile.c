/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/profile.h"

#include <string.h>

static const char *const point_names[] = {
#define X(name, config, metric) config,
    EXTENSION_POINTS(X)
#undef X
};

/* A plugin by name with its weight, as lists of the configuration have it. */
struct choice {
	const struct plugin *plugin;
	int64_t weight; /* 0: not said */
};

typedef VEC(struct choice) choices;

struct building {
	const struct plugin *const *registry;
	const struct jvalue *profile; /* NULL: defaults */
	struct symbols *symbols;
	struct arena *arena;
	struct framework *framework;
	struct err *err;
};

static const struct plugin *find(const struct building *b, const char *name)
{
	for (size_t i = 0; b->registry[i]; i++)
		if (!strcmp(b->registry[i]->name, name))
			return b->registry[i];
	return NULL;
}

static bool is_disabled(const struct jvalue *set, const char *name)
{
	const struct jvalue *list = jvalue_get(set, "disabled");
	for (uint32_t i = 0; jvalue_is(list, JVALUE_ARRAY) && i < list->n; i++) {
		const char *one = jvalue_get_str(list->items[i], "name", "");
		if (!strcmp(one, "*") || !strcmp(one, name))
			return true;
	}
	return false;
}

static struct choice *choice_of(choices *list, const struct plugin *p)
{
	VEC_FOREACH (list, it)
		if (it->plugin == p)
			return it;
	return NULL;
}

static int read_enabled(const struct building *b, const struct jvalue *set, choices *ret)
{
	const struct jvalue *list = jvalue_get(set, "enabled");
	for (uint32_t i = 0; jvalue_is(list, JVALUE_ARRAY) && i < list->n; i++) {
		const char *name = jvalue_get_str(list->items[i], "name", "");
		const struct plugin *p = find(b, name);
		if (!p)
			return err_set(b->err, ERR_INVALID, "plugin \"%s\" does not exist", name);
		if (choice_of(ret, p))
			return err_set(b->err, ERR_INVALID, "plugin \"%s\" already registered",
			               name);
		*vec_push(ret) = (struct choice){p, jvalue_get_int(list->items[i], "weight", 0)};
	}
	return 0;
}

/* The defaults that are not disabled, with weights of the configuration, and then its own. */
static int read_multi_point(const struct building *b, const struct jvalue *plugins, choices *ret)
{
	const struct jvalue *set = jvalue_get(plugins, "multiPoint");
	choices own = {0};
	int r = read_enabled(b, set, &own);
	for (size_t i = 0; !r && b->registry[i]; i++) {
		const struct choice *mine = choice_of(&own, b->registry[i]);
		if (!is_disabled(set, b->registry[i]->name))
			*vec_push(ret) = (struct choice){b->registry[i], mine ? mine->weight : 0};
	}
	if (!r)
		VEC_FOREACH (&own, it)
			if (!choice_of(ret, it->plugin))
				*vec_push(ret) = *it;
	vec_deinit(&own);
	return r;
}

static int use_of(const struct building *b, const struct plugin *p, struct plugin_use **ret)
{
	struct plugin_uses *u = &b->framework->uses;
	for (size_t i = 0; i < u->n; i++)
		if (u->at[i].plugin == p) {
			*ret = &u->at[i];
			return 0;
		}
	const struct jvalue *configs = jvalue_get(b->profile, "pluginConfig"), *args = NULL;
	for (uint32_t i = 0; jvalue_is(configs, JVALUE_ARRAY) && i < configs->n; i++)
		if (!strcmp(jvalue_get_str(configs->items[i], "name", ""), p->name))
			args = jvalue_get(configs->items[i], "args");
	struct plugin_use *use = &u->at[u->n];
	*use = (struct plugin_use){.plugin = p, .number = (unsigned)u->n};
	u->n++;
	*ret = use;
	if (p->parse_args && p->parse_args(args, b->symbols, b->arena, &use->args, b->err))
		return err_prefix(b->err, "pluginConfig of %s", p->name);
	return 0;
}

static int add_use(const struct building *b, enum extension_point point, const struct choice *how,
                   int64_t multi_weight)
{
	struct plugin_uses *list = &b->framework->points[point];
	struct plugin_use *use;
	int r = use_of(b, how->plugin, &use);
	if (r)
		return r;
	struct plugin_use *to = &list->at[list->n++];
	*to = *use;
	to->weight = how->weight ? how->weight : multi_weight ? multi_weight : how->plugin->weight;
	if (!to->weight)
		to->weight = 1;
	if (to->weight < 0 || to->weight > 100000000)
		return err_set(b->err, ERR_INVALID, "weight of plugin \"%s\" is out of range",
		               how->plugin->name);
	return 0;
}

/* First what the point names again of the multi-point ones, then these, then the point's own. */
static int fill_point(const struct building *b, const struct jvalue *plugins,
                      enum extension_point point, choices *multi)
{
	const struct jvalue *set = jvalue_get(plugins, point_names[point]);
	struct plugin_uses *list = &b->framework->points[point];
	choices own = {0};
	int r = read_enabled(b, set, &own);
	list->at = arena_array(b->arena, struct plugin_use, own.n + multi->n);
	VEC_FOREACH (&own, it) {
		const struct choice *again = choice_of(multi, it->plugin);
		if (!r && !plugin_has_point(it->plugin, point))
			r = err_set(b->err, ERR_INVALID, "plugin \"%s\" does not extend %s",
			            it->plugin->name, point_names[point]);
		if (!r && again)
			r = add_use(b, point, it, again->weight);
	}
	VEC_FOREACH (multi, it)
		if (!r && plugin_has_point(it->plugin, point) && !choice_of(&own, it->plugin) &&
		    !is_disabled(set, it->plugin->name))
			r = add_use(b, point, it, 0);
	VEC_FOREACH (&own, it)
		if (!r && !choice_of(multi, it->plugin))
			r = add_use(b, point, it, 0);
	vec_deinit(&own);
	return r;
}

static int build_profile(const struct building *b)
{
	struct framework *f = b->framework;
	const struct jvalue *plugins = jvalue_get(b->profile, "plugins");
	f->scheduler_name = arena_strdup(
	    b->arena, jvalue_get_str(b->profile, "schedulerName", "default-scheduler"));
	f->uses.at = arena_array(b->arena, struct plugin_use, PLUGINS_MAX);
	choices multi = {0};
	int r = read_multi_point(b, plugins, &multi);
	for (unsigned point = 0; !r && point < POINT_COUNT; point++)
		r = fill_point(b, plugins, (enum extension_point)point, &multi);
	vec_deinit(&multi);
	if (!r && f->points[POINT_QUEUE_SORT].n != 1)
		r = err_set(b->err, ERR_INVALID,
		            "one queue sort plugin required for profile, got %zu",
		            f->points[POINT_QUEUE_SORT].n);
	if (!r && !f->points[POINT_BIND].n)
		r = err_set(b->err, ERR_INVALID, "at least one bind plugin is needed");
	return r ? err_prefix(b->err, "profile \"%s\"", f->scheduler_name) : 0;
}

static int check_document(const struct jvalue *doc, struct err *err)
{
	static const char *const known[] = {
	    "apiVersion",
	    "kind",
	    "parallelism",
	    "leaderElection",
	    "clientConnection",
	    "enableProfiling",
	    "profiles",
	    "enableContentionProfiling",
	    "extenders",
	    "percentageOfNodesToScore",
	    "podMaxBackoffSeconds",
	    "podInitialBackoffSeconds",
	    "delayCacheUntilActive",
	};
	if (!jvalue_is(doc, JVALUE_OBJECT) ||
	    strcmp(jvalue_get_str(doc, "kind", ""), "KubeSchedulerConfiguration") != 0 ||
	    strcmp(jvalue_get_str(doc, "apiVersion", ""), "kubescheduler.config.k8s.io/v1") != 0)
		return err_set(
		    err, ERR_INVALID,
		    "not a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1");
	for (uint32_t i = 0; i < doc->n; i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_LEN(known) && !found; k++)
			found = !strcmp(doc->members[i].key, known[k]);
		if (!found)
			return err_set(err, ERR_INVALID,
			               "strict decoding error: unknown field \"%s\"",
			               doc->members[i].key);
	}
	const struct jvalue *extenders = jvalue_get(doc, "extenders");
	if (jvalue_is(extenders, JVALUE_ARRAY) && extenders->n)
		return err_set(err, ERR_INVALID, "extenders: not supported");
	return 0;
}

static int read_percentage(const struct jvalue *v, int64_t dflt, int64_t *ret, struct err *err)
{
	*ret = jvalue_get_int(v, "percentageOfNodesToScore", dflt);
	if (*ret < 0 || *ret > 100)
		return err_set(err, ERR_INVALID,
		               "percentageOfNodesToScore: Invalid value: %lld: not in valid range "
		               "[0-100]",
		               (long long)*ret);
	return 0;
}

static int read_backoff(const struct jvalue *doc, struct profile_config *ret, struct err *err)
{
	int64_t initial = jvalue_get_int(doc, "podInitialBackoffSeconds", 1);
	int64_t most = jvalue_get_int(doc, "podMaxBackoffSeconds", 10);
	if (initial <= 0 || initial > INT32_MAX)
		return err_set(
		    err, ERR_INVALID,
		    "podInitialBackoffSeconds: Invalid value: %lld: must be greater than 0",
		    (long long)initial);
	if (most < initial || most > INT32_MAX)
		return err_set(err, ERR_INVALID,
		               "podMaxBackoffSeconds: Invalid value: %lld: must be greater than or "
		               "equal to PodInitialBackoffSeconds",
		               (long long)most);
	ret->initial_backoff_ms = (uint64_t)initial * 1000;
	ret->max_backoff_ms = (uint64_t)most * 1000;
	return 0;
}

int profile_config_build(const struct jvalue *doc, const struct plugin *const *registry,
                         struct symbols *s, struct arena *a, struct profile_config *ret,
                         struct err *err)
{
	int64_t percentage = 0;
	int r = doc ? check_document(doc, err) : 0;
	if (!r)
		r = read_percentage(doc, 0, &percentage, err);
	if (!r)
		r = read_backoff(doc, ret, err);
	const struct jvalue *list = jvalue_get(doc, "profiles");
	size_t n = jvalue_is(list, JVALUE_ARRAY) && list->n ? list->n : 1;
	if (!r && n > PROFILES_MAX)
		r = err_set(err, ERR_INVALID, "profiles: too many");
	if (r)
		return r;
	ret->profiles = arena_array(a, struct framework, n);
	ret->n_profiles = 0;
	for (size_t i = 0; !r && i < n; i++) {
		struct framework *f = &ret->profiles[i];
		struct building b = {registry, jvalue_at(list, i), s, a, f, err};
		r = read_percentage(b.profile, percentage, &f->percentage_of_nodes, err);
		if (!r)
			r = build_profile(&b);
		if (!r && profile_of(ret, f->scheduler_name))
			r = err_set(err, ERR_INVALID,
			            "profiles[%zu].schedulerName: Duplicate value: \"%s\"", i,
			            f->scheduler_name);
		if (!r && f->points[POINT_QUEUE_SORT].at->plugin !=
		              ret->profiles->points[POINT_QUEUE_SORT].at->plugin)
			r = err_set(err, ERR_INVALID,
			            "profiles[%zu].plugins.queueSort: must be the same for all "
			            "profiles",
			            i);
		ret->n_profiles = i + 1;
	}
	return r;
}

const struct framework *profile_of(const struct profile_config *c, const char *scheduler_name)
{
	for (size_t i = 0; i < c->n_profiles; i++)
		if (!strcmp(c->profiles[i].scheduler_name, scheduler_name))
			return &c->profiles[i];
	return NULL;
}
