/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "tests/bench/raftstore/dial.h"

enum { PAUSE_MS = 50 };

/* The descriptor, or -1 and why not. */
static int connect_once(const char *host, const char *port, const char **ret_why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
	int fd = -1;

	int r = getaddrinfo(host, port, &hints, &all);
	if (r) {
		*ret_why = gai_strerror(r);
		return -1;
	}
	for (struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
			*ret_why = strerror(errno);
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	return fd;
}

int dial(const char *authority, uint32_t patience_ms, uint32_t read_ms, struct err *err)
{
	uint64_t end_ms = clock_mono_ms() + patience_ms;
	const char *colon = strrchr(authority, ':');
	const char *why = "no address";
	char host[256];
	int fd;

	if (!colon)
		return err_set(err, ERR_INVALID, "%s is not host:port", authority);
	bool brackets = authority[0] == '[' && colon[-1] == ']';
	snprintf(host, sizeof(host), "%.*s", (int)(colon - authority) - 2 * brackets,
	         authority + brackets);
	while ((fd = connect_once(host, colon + 1, &why)) < 0 && clock_mono_ms() < end_ms)
		poll(NULL, 0, PAUSE_MS);
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "no connection to %s: %s", authority, why);
	int one = 1;
	struct timeval wait = {.tv_sec = read_ms / 1000, .tv_usec = read_ms % 1000 * 1000};
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)))
		abort();
	return fd;
}
