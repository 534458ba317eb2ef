/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/serving_cert.h"
#include "common/net/tls.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_folders(const char *path, struct arena *a, struct err *err)
{
	char *copy = arena_strdup(a, path);

	for (char *p = copy + 1;; p++) {
		if (*p != '/' && *p)
			continue;
		char end = *p;
		*p = 0;
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return err_set(err, ERR_IO, "%s: %s", copy, strerror(errno));
		*p = end;
		if (!end)
			return 0;
	}
}

static int write_file(const char *path, struct slice data, mode_t mode, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	ssize_t n = write(fd, data.data, data.len);
	int saved = errno;
	close(fd);
	if (n < 0)
		return err_set(err, ERR_IO, "%s: %s", path, strerror(saved));
	return (size_t)n == data.len ? 0 : err_set(err, ERR_IO, "%s: no space left", path);
}

int serving_cert_ensure(const char *folder, const char *const *hosts, size_t n_hosts, int64_t now_s,
                        struct arena *a, const char **ret_cert, const char **ret_key,
                        struct err *err)
{
	_cleanup_buf_ struct buf cert = BUF_INIT, key = BUF_INIT;
	const char *cert_path = arena_printf(a, "%s/apiserver.crt", folder);
	const char *key_path = arena_printf(a, "%s/apiserver.key", folder);

	if (access(cert_path, R_OK) < 0 || access(key_path, R_OK) < 0) {
		int r = make_folders(folder, a, err);
		if (r == 0)
			r = tls_self_signed(hosts, n_hosts, now_s, &cert, &key, err);
		if (r == 0)
			r = write_file(key_path, buf_view(&key), 0600, err);
		if (r == 0)
			r = write_file(cert_path, buf_view(&cert), 0644, err);
		if (r < 0)
			return r;
	}
	*ret_cert = cert_path;
	*ret_key = key_path;
	return 0;
}
