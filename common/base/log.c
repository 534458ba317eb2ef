/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"

static atomic_int format_now = LOG_FORMAT_TEXT;
static atomic_int level_now = 0;
static atomic_int least_now = LOG_INFO;

void log_setup(enum log_format format, int verbosity)
{
	atomic_store(&format_now, format);
	atomic_store(&level_now, verbosity);
}

int log_level(void)
{
	return atomic_load_explicit(&level_now, memory_order_relaxed);
}

void log_set_level(int verbosity)
{
	atomic_store(&level_now, verbosity);
}

void log_set_least(enum log_severity least)
{
	atomic_store(&least_now, (int)least);
}

static void add_quoted(struct buf *b, struct slice s)
{
	buf_byte(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];
		if (c == '"' || c == '\\')
			buf_byte(b, '\\'), buf_byte(b, c);
		else if (c == '\n')
			buf_str(b, "\\n");
		else if (c == '\t')
			buf_str(b, "\\t");
		else if (c == '\r')
			buf_str(b, "\\r");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\u%04x", c);
		else
			buf_byte(b, c);
	}
	buf_byte(b, '"');
}

static void add_value(struct buf *b, const struct log_pair *p)
{
	switch (p->kind) {
	case LOG_PAIR_INT:
		buf_printf(b, "%lld", (long long)p->num);
		break;
	case LOG_PAIR_BOOL:
		buf_str(b, p->num ? "true" : "false");
		break;
	case LOG_PAIR_SLICE:
		add_quoted(b, p->slice);
		break;
	case LOG_PAIR_STR:
		add_quoted(b, slice_str(p->str ? p->str : ""));
		break;
	}
}

static const char *base_name(const char *file)
{
	const char *slash = strrchr(file, '/');
	return slash ? slash + 1 : file;
}

static void add_text(struct buf *b, enum log_severity sev, const char *file, int line,
		     const struct err *err, const char *msg, const struct log_pair *pairs, size_t n)
{
	int64_t ns = clock_real_ns();
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;
	localtime_r(&sec, &tm);
	buf_printf(b, "%c%02d%02d %02d:%02d:%02d.%06d %7d %s:%d] ", "IWEF"[sev], tm.tm_mon + 1,
		   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns % 1000000000 / 1000),
		   (int)getpid(), base_name(file), line);
	add_quoted(b, slice_str(msg));
	if (err && err->code) {
		buf_str(b, " err=");
		add_quoted(b, slice_str(err->text[0] ? err->text : err_name((int)err->code)));
	}
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, " %s=", pairs[i].key);
		add_value(b, &pairs[i]);
	}
}

static void add_json(struct buf *b, enum log_severity sev, const char *file, int line,
		     const struct err *err, const char *msg, const struct log_pair *pairs, size_t n)
{
	buf_printf(b, "{\"ts\":%.3f,\"caller\":\"%s:%d\",\"msg\":",
		   (double)(clock_real_ns() / 1000) / 1000.0, base_name(file), line);
	add_quoted(b, slice_str(msg));
	if (sev < LOG_ERROR)
		buf_str(b, ",\"v\":0");
	if (err && err->code) {
		buf_str(b, ",\"err\":");
		add_quoted(b, slice_str(err->text[0] ? err->text : err_name((int)err->code)));
	}
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, ",\"%s\":", pairs[i].key);
		add_value(b, &pairs[i]);
	}
	buf_byte(b, '}');
}

void log_write(enum log_severity sev, const char *file, int line, const struct err *err,
	       const char *msg, const struct log_pair *pairs, size_t n_pairs)
{
	if ((int)sev < atomic_load_explicit(&least_now, memory_order_relaxed))
		return;
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (atomic_load(&format_now) == LOG_FORMAT_JSON)
		add_json(&b, sev, file, line, err, msg, pairs, n_pairs);
	else
		add_text(&b, sev, file, line, err, msg, pairs, n_pairs);
	buf_byte(&b, '\n');
	ssize_t wrote = write(STDERR_FILENO, b.data, b.len);
	(void)wrote; /* there is nowhere to report it to */
}
