/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/rpc_core.h"

#include <assert.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "common/base/log.h"
#include "common/net/rpc_internal.h"

#if defined(__SANITIZE_THREAD__)
#define RPC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RPC_TSAN 1
#endif
#endif
#ifdef RPC_TSAN
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#else
#define __tsan_acquire(p) ((void)(p))
#define __tsan_release(p) ((void)(p))
#endif

struct rpc_queue {
	grpc_completion_queue *cq;
	pthread_t thread;
};

struct rpc_core {
	size_t n_queues;
	atomic_size_t next;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	size_t live;          /* under lock */
	struct list pendings; /* under lock */
	bool closing;         /* under lock */
	struct rpc_queue queues[];
};

static void *queue_main(void *arg)
{
	struct rpc_queue *q = arg;
	gpr_timespec forever = gpr_inf_future(GPR_CLOCK_REALTIME);
	for (;;) {
		grpc_event e = grpc_completion_queue_next(q->cq, forever, NULL);
		if (e.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (e.type != GRPC_OP_COMPLETE)
			continue;
		struct rpc_tag *tag = e.tag;
		__tsan_acquire(tag);
		tag->done(tag, e.success != 0);
	}
}

/* gRPC writes its own lines about every refused handshake, which are details here; but its last
 * words before it aborts must be heard. */
static void on_grpc_log(gpr_log_func_args *a)
{
	bool fatal = strncmp(a->message, "assertion failed", 16) == 0;
	if (fatal || log_level() >= 4)
		log_write(fatal ? LOG_FATAL : LOG_INFO, a->file, a->line, NULL, "gRPC",
		          &LOG_STR("message", a->message), 1);
}

/* absl::SetMutexDeadlockDetectionMode(kIgnore). Debian's Abseil watches for deadlocks as debug
 * builds do: each lock that gRPC takes costs one of the whole process. Where it has another name,
 * nothing is changed. */
void set_deadlock_detection(int mode) __asm__(
    "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE") __attribute__((weak));

struct rpc_core *rpc_core_new(unsigned n_threads)
{
	size_t n = MAX(n_threads, 1U);
	struct rpc_core *c = calloc(1, sizeof *c + n * sizeof c->queues[0]);
	if (!c)
		abort();
	gpr_set_log_function(on_grpc_log);
	if (set_deadlock_detection)
		set_deadlock_detection(0);
	grpc_init();
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	list_init(&c->pendings);
	c->n_queues = n;
	for (size_t i = 0; i < n; i++) {
		c->queues[i].cq = grpc_completion_queue_create_for_next(NULL);
		int r = pthread_create(&c->queues[i].thread, NULL, queue_main, &c->queues[i]);
		assert(r == 0);
		pthread_setname_np(c->queues[i].thread, "rpc");
	}
	return c;
}

void rpc_core_free(struct rpc_core *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	LIST_FOREACH (&c->pendings, p, struct rpc_pending, in)
		grpc_call_cancel(p->call, NULL);
	while (c->live)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < c->n_queues; i++)
		grpc_completion_queue_shutdown(c->queues[i].cq);
	for (size_t i = 0; i < c->n_queues; i++) {
		pthread_join(c->queues[i].thread, NULL);
		grpc_completion_queue_destroy(c->queues[i].cq);
	}
	grpc_shutdown_blocking();
	rpc_peer_cache_clear();
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->idle);
	free(c);
}

grpc_completion_queue *rpc_core_next_queue(struct rpc_core *c)
{
	size_t i = c->n_queues == 1 ? 0 : atomic_fetch_add(&c->next, 1) % c->n_queues;
	return c->queues[i].cq;
}

size_t rpc_core_queue_count(const struct rpc_core *c)
{
	return c->n_queues;
}

grpc_completion_queue *rpc_core_queue(struct rpc_core *c, size_t i)
{
	return c->queues[i].cq;
}

void rpc_core_hold(struct rpc_core *c)
{
	pthread_mutex_lock(&c->lock);
	c->live++;
	pthread_mutex_unlock(&c->lock);
}

void rpc_core_release(struct rpc_core *c)
{
	pthread_mutex_lock(&c->lock);
	if (--c->live == 0)
		pthread_cond_signal(&c->idle);
	pthread_mutex_unlock(&c->lock);
}

void rpc_core_add(struct rpc_core *c, struct rpc_pending *p)
{
	pthread_mutex_lock(&c->lock);
	list_add_tail(&c->pendings, &p->in);
	pthread_mutex_unlock(&c->lock);
}

bool rpc_core_remove(struct rpc_core *c, struct rpc_pending *p)
{
	pthread_mutex_lock(&c->lock);
	list_del(&p->in);
	bool closing = c->closing;
	pthread_mutex_unlock(&c->lock);
	return !closing;
}

grpc_arg rpc_int_arg(const char *key, uint32_t value)
{
	return (grpc_arg){.type = GRPC_ARG_INTEGER,
	                  .key = (char *)(uintptr_t)key,
	                  .value.integer = (int)MIN(value, (uint32_t)INT32_MAX)};
}

size_t rpc_lean_args(grpc_arg *to)
{
	to[0] = rpc_int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
	to[1] = rpc_int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0);
	return 2;
}

void rpc_tag_release(struct rpc_tag *tag)
{
	__tsan_release(tag);
}

void rpc_batch(grpc_call *call, const grpc_op *ops, size_t n, struct rpc_tag *tag)
{
	__tsan_release(tag);
	grpc_call_error e = grpc_call_start_batch(call, ops, n, tag, NULL);
	assert(e == GRPC_CALL_OK);
}

void rpc_bytes_take(struct rpc_bytes *b, grpc_byte_buffer *from)
{
	rpc_bytes_deinit(b);
	if (!from)
		return;
	grpc_byte_buffer_reader reader;
	if (!grpc_byte_buffer_reader_init(&reader, from)) {
		grpc_byte_buffer_destroy(from);
		return;
	}
	size_t length = grpc_byte_buffer_length(from);
	grpc_slice first;
	if (length == 0) {
		b->slice = grpc_empty_slice();
	} else if (grpc_byte_buffer_reader_next(&reader, &first)) {
		if (GRPC_SLICE_LENGTH(first) == length) {
			b->slice = first;
		} else {
			b->slice = grpc_slice_malloc(length);
			uint8_t *to = GRPC_SLICE_START_PTR(b->slice);
			do {
				memcpy(to, GRPC_SLICE_START_PTR(first), GRPC_SLICE_LENGTH(first));
				to += GRPC_SLICE_LENGTH(first);
				grpc_slice_unref(first);
			} while (grpc_byte_buffer_reader_next(&reader, &first));
		}
	}
	b->set = true;
	grpc_byte_buffer_reader_destroy(&reader);
	grpc_byte_buffer_destroy(from);
}

struct slice rpc_bytes_view(const struct rpc_bytes *b)
{
	if (!b->set)
		return SLICE_EMPTY;
	return slice_of(GRPC_SLICE_START_PTR(b->slice), GRPC_SLICE_LENGTH(b->slice));
}

void rpc_bytes_deinit(struct rpc_bytes *b)
{
	if (b->set)
		grpc_slice_unref(b->slice);
	b->set = false;
}

static void drop_blob(void *blob)
{
	__tsan_acquire(blob);
	blob_unref(blob);
}

grpc_byte_buffer *rpc_buffer_of_blob(struct blob *b)
{
	__tsan_release(b);
	grpc_slice s = grpc_slice_new_with_user_data(b->data, b->len, drop_blob, blob_ref(b));
	grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&s, 1);
	grpc_slice_unref(s);
	return out;
}

grpc_byte_buffer *rpc_buffer_of_slice(struct slice bytes)
{
	grpc_slice s = grpc_slice_malloc(bytes.len);
	if (bytes.len)
		memcpy(GRPC_SLICE_START_PTR(s), bytes.data, bytes.len);
	grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&s, 1);
	grpc_slice_unref(s);
	return out;
}

grpc_metadata *rpc_metadata_new(const struct rpc_meta *m, size_t n, size_t *ret_n)
{
	grpc_metadata *out = n ? calloc(n, sizeof *out) : NULL;
	size_t used = 0;
	if (n && !out)
		abort();
	for (size_t i = 0; i < n; i++) {
		grpc_slice key = grpc_slice_from_copied_string(m[i].key);
		grpc_slice value =
		    grpc_slice_from_copied_buffer((const char *)m[i].value.data, m[i].value.len);
		if (grpc_header_key_is_legal(key) &&
		    (grpc_is_binary_header(key) || grpc_header_nonbin_value_is_legal(value))) {
			out[used++] = (grpc_metadata){.key = key, .value = value};
		} else {
			grpc_slice_unref(key);
			grpc_slice_unref(value);
		}
	}
	*ret_n = used;
	return out;
}

void rpc_metadata_free(grpc_metadata *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		grpc_slice_unref(m[i].key);
		grpc_slice_unref(m[i].value);
	}
	free(m);
}

int rpc_sendq_push(struct rpc_sendq *q, grpc_byte_buffer *buffer)
{
	if (q->n == q->cap) {
		size_t cap = q->cap ? q->cap * 2 : 8;
		struct rpc_sendq_item *ring = calloc(cap, sizeof *ring);
		if (!ring)
			abort();
		for (size_t i = 0; i < q->n; i++)
			ring[i] = q->ring[(q->head + i) & (q->cap - 1)];
		free(q->ring);
		q->ring = ring;
		q->cap = cap;
		q->head = 0;
	}
	size_t bytes = grpc_byte_buffer_length(buffer);
	q->ring[(q->head + q->n++) & (q->cap - 1)] = (struct rpc_sendq_item){buffer, bytes};
	q->queued_bytes += bytes;
	if (q->queued_bytes > q->high_bytes)
		q->was_high = true;
	return q->was_high;
}

grpc_byte_buffer *rpc_sendq_next(struct rpc_sendq *q)
{
	assert(q->n && !q->in_flight.buffer);
	q->in_flight = q->ring[q->head];
	q->head = (q->head + 1) & (q->cap - 1);
	q->n--;
	return q->in_flight.buffer;
}

bool rpc_sendq_sent(struct rpc_sendq *q)
{
	if (q->in_flight.buffer)
		grpc_byte_buffer_destroy(q->in_flight.buffer);
	q->queued_bytes -= q->in_flight.bytes;
	q->in_flight = (struct rpc_sendq_item){0};
	if (!q->was_high || q->queued_bytes > q->high_bytes / 2)
		return false;
	q->was_high = false;
	return true;
}

void rpc_sendq_drop(struct rpc_sendq *q)
{
	while (q->n) {
		struct rpc_sendq_item *item = &q->ring[q->head];
		q->queued_bytes -= item->bytes;
		grpc_byte_buffer_destroy(item->buffer);
		q->head = (q->head + 1) & (q->cap - 1);
		q->n--;
	}
}

void rpc_sendq_deinit(struct rpc_sendq *q)
{
	rpc_sendq_drop(q);
	if (q->in_flight.buffer)
		grpc_byte_buffer_destroy(q->in_flight.buffer);
	free(q->ring);
	*q = (struct rpc_sendq){0};
}

static const struct {
	const char *name;
	enum err_code err;
} code_table[] = {
    [RPC_OK] = {"OK", ERR_OK},
    [RPC_CANCELLED] = {"Canceled", ERR_CANCELLED},
    [RPC_UNKNOWN] = {"Unknown", ERR_UNKNOWN},
    [RPC_INVALID_ARGUMENT] = {"InvalidArgument", ERR_BAD_REQUEST},
    [RPC_DEADLINE_EXCEEDED] = {"DeadlineExceeded", ERR_TIMEOUT},
    [RPC_NOT_FOUND] = {"NotFound", ERR_NOT_FOUND},
    [RPC_ALREADY_EXISTS] = {"AlreadyExists", ERR_ALREADY_EXISTS},
    [RPC_PERMISSION_DENIED] = {"PermissionDenied", ERR_FORBIDDEN},
    [RPC_RESOURCE_EXHAUSTED] = {"ResourceExhausted", ERR_TOO_MANY_REQUESTS},
    [RPC_FAILED_PRECONDITION] = {"FailedPrecondition", ERR_BAD_REQUEST},
    [RPC_ABORTED] = {"Aborted", ERR_CONFLICT},
    [RPC_OUT_OF_RANGE] = {"OutOfRange", ERR_GONE},
    [RPC_UNIMPLEMENTED] = {"Unimplemented", ERR_NOT_IMPLEMENTED},
    [RPC_INTERNAL] = {"Internal", ERR_INTERNAL},
    [RPC_UNAVAILABLE] = {"Unavailable", ERR_UNAVAILABLE},
    [RPC_DATA_LOSS] = {"DataLoss", ERR_CORRUPT},
    [RPC_UNAUTHENTICATED] = {"Unauthenticated", ERR_UNAUTHORIZED},
};

enum err_code rpc_code_to_err(int code)
{
	if (code < 0 || (size_t)code >= ARRAY_LEN(code_table))
		return ERR_UNKNOWN;
	return code_table[code].err;
}

const char *rpc_code_name(int code)
{
	if (code < 0 || (size_t)code >= ARRAY_LEN(code_table))
		return "Unknown";
	return code_table[code].name;
}
