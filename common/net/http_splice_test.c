/* SPDX-License-Identifier: Apache-2.0 */
/* Two tunnels of the test's own: each takes a limited number of bytes until it is told to go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "common/net/http_internal.h"
#include "common/net/http_splice.h"

struct side {
	struct buf got;
	bool full, paused, closed;
};

static int side_write(void *connection, struct slice data)
{
	struct side *s = connection;
	buf_slice(&s->got, data);
	return s->full;
}

static void side_pause(void *connection, bool pause)
{
	((struct side *)connection)->paused = pause;
}

static void side_close(void *connection)
{
	((struct side *)connection)->closed = true;
}

static const struct http_tunnel_ops ops = {side_write, side_pause, side_close};

struct pipe_test {
	struct http_splice s;
	struct side near, far;
	int ended;
};

static void on_end(void *arg)
{
	((struct pipe_test *)arg)->ended++;
}

static void set_up(struct pipe_test *t)
{
	memset(t, 0, sizeof(*t));
	http_splice_init(&t->s, on_end, t);
	t->s.near.ops = t->s.far.ops = &ops;
	t->s.near.connection = &t->near;
	t->s.far.connection = &t->far;
}

static void tear_down(struct pipe_test *t)
{
	buf_deinit(&t->near.got);
	buf_deinit(&t->far.got);
}

static void test_both_ways(void **state)
{
	(void)state;
	struct pipe_test t;
	set_up(&t);
	t.s.near.on_data(&t.s.near, SLICE_LIT("there"));
	t.s.far.on_data(&t.s.far, SLICE_LIT("and back"));
	assert_true(slice_eq_str(buf_view(&t.far.got), "there"));
	assert_true(slice_eq_str(buf_view(&t.near.got), "and back"));
	assert_int_equal(t.s.near_bytes, 5);
	assert_int_equal(t.s.far_bytes, 8);
	assert_false(t.near.paused || t.far.paused);
	tear_down(&t);
}

static void test_slow_sides(void **state)
{
	(void)state;
	struct pipe_test t;
	set_up(&t);
	t.near.full = true;
	t.s.far.on_data(&t.s.far, SLICE_LIT("x"));
	assert_true(t.far.paused && !t.near.paused);
	t.s.near.on_writable(&t.s.near);
	assert_false(t.far.paused);
	t.far.full = true;
	t.s.near.on_data(&t.s.near, SLICE_LIT("x"));
	assert_true(t.near.paused && !t.far.paused);
	t.s.far.on_writable(&t.s.far);
	assert_false(t.near.paused);
	tear_down(&t);
}

static void test_ends(void **state)
{
	(void)state;
	struct pipe_test t;
	set_up(&t);
	t.s.near.connection = NULL; /* as the connection does before it says so */
	t.s.near.on_closed(&t.s.near);
	assert_true(t.far.closed && !t.near.closed);
	assert_int_equal(t.ended, 1);
	tear_down(&t);
	set_up(&t);
	t.s.far.connection = NULL;
	t.s.far.on_closed(&t.s.far);
	assert_true(t.near.closed && !t.far.closed);
	assert_int_equal(t.ended, 1);
	tear_down(&t);
	set_up(&t);
	http_splice_close(&t.s);
	assert_true(t.near.closed && t.far.closed);
	assert_int_equal(t.ended, 0);
	/* What still comes has nowhere to go. */
	t.s.near.on_data(&t.s.near, SLICE_LIT("late"));
	assert_int_equal(t.far.got.len, 0);
	tear_down(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_both_ways),
	    cmocka_unit_test(test_slow_sides),
	    cmocka_unit_test(test_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
