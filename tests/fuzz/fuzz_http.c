/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a client, on a real socket, against the HTTP server: HTTP/1.1, or HTTP/2 when they begin
 * with its preface. The first byte of the input says in how many pieces they arrive. */
#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop loop;
static struct http_server *server;

static void on_request(struct http_exchange *x, void *arg)
{
	(void)arg;
	/* Handlers read what they are given. */
	size_t sum = x->target.len + x->body.len + x->host.len;
	for (size_t i = 0; i < x->n_headers; i++)
		sum += x->headers[i].name.len + x->headers[i].value.len;
	struct slice body = sum % 2 ? SLICE_LIT("odd\n") : SLICE_LIT("even\n");
	if (sum % 3) {
		http_reply(x, 200, "text/plain", body);
		return;
	}
	http_start(x, 200, "text/plain", -1);
	http_write(x, body);
	http_end(x);
}

static void set_up(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	int r = loop_init(&loop);
	assert(!r);
	http_server_new(&(struct http_server_options){.on_request = on_request,
	                                              .max_body_bytes = 4096,
	                                              .max_header_bytes = 8192},
	                &server);
}

static void turn(int fd)
{
	char in[4096];
	for (int i = 0; i < 8; i++) {
		loop_run_once(&loop, false);
		while (recv(fd, in, sizeof(in), MSG_DONTWAIT) > 0)
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];
	set_up();
	if (!size || socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return 0;
	size_t pieces = 1 + *data % 4;
	data++;
	size--;
	if (http_server_adopt_fd(server, &loop, fds[0])) {
		close(fds[1]);
		return 0;
	}
	for (size_t i = 0; i < pieces; i++) {
		size_t from = size * i / pieces, to = size * (i + 1) / pieces;
		if (send(fds[1], data + from, to - from, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		turn(fds[1]);
	}
	close(fds[1]);
	for (int i = 0; i < 64 && http_server_connections(server); i++)
		loop_run_once(&loop, false);
	assert(!http_server_connections(server)); /* a connection that is gone is let go */
	return 0;
}
