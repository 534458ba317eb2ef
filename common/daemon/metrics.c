/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/vec.h"

enum family_type { COUNTER, GAUGE, HISTOGRAM };

struct metric {
	struct metric_family *family;
	const char *labels;         /* `verb="get",code="200"`, or "" */
	_Atomic uint64_t value;     /* bits of a double; a histogram's sum */
	_Atomic uint64_t buckets[]; /* a histogram's, the last is +Inf */
};

struct metric_family {
	struct metrics *owner;
	enum family_type type;
	const char *name, *help;
	const char *label_names[METRIC_LABELS_MAX];
	size_t n_labels;
	const double *bounds;
	size_t n_bounds;
	/* --- under owner->lock --- */
	struct map series; /* labels -> struct metric */
	VEC(struct metric *) order;
	struct metric *overflow;
};

struct metrics {
	pthread_mutex_t lock;
	/* --- under lock --- */
	struct arena arena;
	struct map families;
	VEC(struct metric_family *) order;
	/* --- */
	VEC(struct {
		void (*fn)(void *);
		void *arg;
	})
	writers;
	struct metric *cpu, *resident, *virtual_bytes, *fds, *max_fds;
};

static void read_process(void *arg);

struct metrics *metrics_new(bool process)
{
	struct metrics *m = calloc(1, sizeof *m);
	if (!m)
		abort();
	pthread_mutex_init(&m->lock, NULL);
	arena_init(&m->arena);
	map_init(&m->families, 0);
	if (!process)
		return m;
	m->cpu =
	    metric_of(metrics_counter(m, "process_cpu_seconds_total",
	                              "Total user and system CPU time spent in seconds.", NULL));
	m->resident = metric_of(metrics_gauge(m, "process_resident_memory_bytes",
	                                      "Resident memory size in bytes.", NULL));
	m->virtual_bytes = metric_of(metrics_gauge(m, "process_virtual_memory_bytes",
	                                           "Virtual memory size in bytes.", NULL));
	m->fds = metric_of(
	    metrics_gauge(m, "process_open_fds", "Number of open file descriptors.", NULL));
	m->max_fds = metric_of(
	    metrics_gauge(m, "process_max_fds", "Maximum number of open file descriptors.", NULL));
	struct metric *start = metric_of(
	    metrics_gauge(m, "process_start_time_seconds",
	                  "Start time of the process since unix epoch in seconds.", NULL));
	metric_set(start, (double)clock_real_ns() / 1e9);
	metrics_on_write(m, read_process, m);
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	VEC_FOREACH (&m->order, f) {
		VEC_FOREACH (&(*f)->order, s)
			free(*s);
		vec_deinit(&(*f)->order);
		map_deinit(&(*f)->series);
		free(*f);
	}
	vec_deinit(&m->order);
	vec_deinit(&m->writers);
	map_deinit(&m->families);
	arena_deinit(&m->arena);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static void split_labels(struct metric_family *f, const char *labels)
{
	while (labels && *labels) {
		size_t n = strcspn(labels, ",");
		assert(f->n_labels < METRIC_LABELS_MAX);
		f->label_names[f->n_labels++] = arena_strndup(&f->owner->arena, labels, n);
		labels += n + (labels[n] == ',');
	}
}

static struct metric_family *family(struct metrics *m, enum family_type type, const char *name,
                                    const char *help, const char *labels, const double *bounds,
                                    size_t n_bounds)
{
	pthread_mutex_lock(&m->lock);
	struct metric_family *f = map_get_str(&m->families, name);
	if (!f) {
		f = calloc(1, sizeof *f);
		if (!f)
			abort();
		f->owner = m;
		f->type = type;
		f->name = name;
		f->help = help;
		f->bounds = arena_memdup(&m->arena, bounds, n_bounds * sizeof *bounds);
		f->n_bounds = n_bounds;
		map_init(&f->series, 0);
		split_labels(f, labels);
		map_put_str(&m->families, name, f);
		*vec_push(&m->order) = f;
	}
	pthread_mutex_unlock(&m->lock);
	return f;
}

struct metric_family *metrics_counter(struct metrics *m, const char *name, const char *help,
                                      const char *labels)
{
	return family(m, COUNTER, name, help, labels, NULL, 0);
}

struct metric_family *metrics_gauge(struct metrics *m, const char *name, const char *help,
                                    const char *labels)
{
	return family(m, GAUGE, name, help, labels, NULL, 0);
}

struct metric_family *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                        const char *labels, const double *bounds, size_t n_bounds)
{
	return family(m, HISTOGRAM, name, help, labels, bounds, n_bounds);
}

/* --- series --- */

static void add_label_value(struct buf *b, const char *v)
{
	for (; *v; v++) {
		if (*v == '\\' || *v == '"')
			buf_byte(b, '\\');
		if (*v == '\n')
			buf_str(b, "\\n");
		else
			buf_byte(b, (uint8_t)*v);
	}
}

static void format_labels(const struct metric_family *f, const char *const *values, struct buf *b)
{
	buf_str(b, "");
	for (size_t i = 0; i < f->n_labels; i++) {
		buf_printf(b, "%s%s=\"", i ? "," : "", f->label_names[i]);
		add_label_value(b, values && values[i] ? values[i] : "");
		buf_byte(b, '"');
	}
}

static struct metric *series_add(struct metric_family *f, struct slice labels)
{
	size_t n = f->type == HISTOGRAM ? f->n_bounds + 1 : 0;
	struct metric *s = calloc(1, sizeof *s + n * sizeof s->buckets[0]);
	if (!s)
		abort();
	s->family = f;
	s->labels = arena_strndup(&f->owner->arena, labels.data, labels.len);
	map_put(&f->series, labels, s);
	*vec_push(&f->order) = s;
	return s;
}

static struct metric *series_overflow(struct metric_family *f)
{
	if (!f->overflow) {
		const char *values[METRIC_LABELS_MAX];
		_cleanup_buf_ struct buf labels = BUF_INIT;
		for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
			values[i] = "overflow";
		format_labels(f, values, &labels);
		f->overflow = map_get(&f->series, buf_view(&labels));
		if (!f->overflow)
			f->overflow = series_add(f, buf_view(&labels));
	}
	return f->overflow;
}

struct metric *metric_with(struct metric_family *f, const char *const *values)
{
	_cleanup_buf_ struct buf labels = BUF_INIT;
	format_labels(f, values, &labels);
	pthread_mutex_lock(&f->owner->lock);
	struct metric *s = map_get(&f->series, buf_view(&labels));
	if (!s)
		s = f->series.n < METRIC_SERIES_MAX ? series_add(f, buf_view(&labels))
		                                    : series_overflow(f);
	pthread_mutex_unlock(&f->owner->lock);
	return s;
}

static double bits_double(uint64_t bits)
{
	double d;
	memcpy(&d, &bits, sizeof d);
	return d;
}

static uint64_t double_bits(double d)
{
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	return bits;
}

static void add_to(_Atomic uint64_t *at, double v)
{
	uint64_t old = atomic_load_explicit(at, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(at, &old, double_bits(bits_double(old) + v),
	                                              memory_order_relaxed, memory_order_relaxed))
		;
}

void metric_add(struct metric *m, double v)
{
	if (m)
		add_to(&m->value, v);
}

void metric_set(struct metric *m, double v)
{
	if (m)
		atomic_store_explicit(&m->value, double_bits(v), memory_order_relaxed);
}

void metric_observe(struct metric *m, double v)
{
	if (!m)
		return;
	const struct metric_family *f = m->family;
	size_t i = 0;
	while (i < f->n_bounds && v > f->bounds[i])
		i++;
	atomic_fetch_add_explicit(&m->buckets[i], 1, memory_order_relaxed);
	add_to(&m->value, v);
}

double metric_value(const struct metric *m)
{
	if (m->family->type != HISTOGRAM)
		return bits_double(atomic_load_explicit(&m->value, memory_order_relaxed));
	uint64_t n = 0;
	for (size_t i = 0; i <= m->family->n_bounds; i++)
		n += atomic_load_explicit(&m->buckets[i], memory_order_relaxed);
	return (double)n;
}

/* --- writing --- */

void metrics_on_write(struct metrics *m, void (*fn)(void *arg), void *arg)
{
	__auto_type w = vec_push(&m->writers);
	w->fn = fn;
	w->arg = arg;
}

/* The shortest text that reads back as the same number. */
static void add_number(struct buf *b, double v)
{
	char text[40];
	if (isnan(v) || isinf(v)) {
		buf_str(b, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (double_bits(strtod(text, NULL)) == double_bits(v))
			break;
	}
	buf_str(b, text);
}

static void write_line(struct buf *b, const char *name, const char *suffix, const char *labels,
                       double v)
{
	buf_printf(b, *labels ? "%s%s{%s} " : "%s%s%s ", name, suffix, labels);
	add_number(b, v);
	buf_byte(b, '\n');
}

static void write_histogram(const struct metric *s, struct buf *b)
{
	const struct metric_family *f = s->family;
	uint64_t n = 0;
	for (size_t i = 0; i <= f->n_bounds; i++) {
		n += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
		buf_printf(b, "%s_bucket{%s%sle=\"", f->name, s->labels, *s->labels ? "," : "");
		add_number(b, i < f->n_bounds ? f->bounds[i] : INFINITY);
		buf_printf(b, "\"} %llu\n", (unsigned long long)n);
	}
	write_line(b, f->name, "_sum", s->labels,
	           bits_double(atomic_load_explicit(&s->value, memory_order_relaxed)));
	write_line(b, f->name, "_count", s->labels, (double)n);
}

static void write_family(const struct metric_family *f, struct buf *b)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	if (!f->order.n)
		return;
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, types[f->type]);
	VEC_FOREACH (&f->order, it) {
		if (f->type == HISTOGRAM)
			write_histogram(*it, b);
		else
			write_line(b, f->name, "", (*it)->labels, metric_value(*it));
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct metric_family *const *)a)->name,
	              (*(struct metric_family *const *)b)->name);
}

void metrics_write(struct metrics *m, struct buf *out)
{
	VEC_FOREACH (&m->writers, w)
		w->fn(w->arg);
	pthread_mutex_lock(&m->lock);
	if (m->order.n)
		qsort(m->order.at, m->order.n, sizeof(*m->order.at), by_name);
	VEC_FOREACH (&m->order, f)
		write_family(*f, out);
	pthread_mutex_unlock(&m->lock);
}

/* --- the process --- */

static double count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = -3; /* ".", ".." and this folder's own */
	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void read_process(void *arg)
{
	struct metrics *m = arg;
	struct rusage u;
	struct rlimit limit;
	unsigned long long pages = 0, resident = 0;
	if (!getrusage(RUSAGE_SELF, &u))
		metric_set(m->cpu, (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		                       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	FILE *f = fopen("/proc/self/statm", "re");
	if (f) {
		if (fscanf(f, "%llu %llu", &pages, &resident) == 2) {
			double page = (double)sysconf(_SC_PAGESIZE);
			metric_set(m->virtual_bytes, (double)pages * page);
			metric_set(m->resident, (double)resident * page);
		}
		fclose(f);
	}
	metric_set(m->fds, count_fds());
	if (!getrlimit(RLIMIT_NOFILE, &limit))
		metric_set(m->max_fds, (double)limit.rlim_cur);
}
