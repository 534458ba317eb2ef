/* SPDX-License-Identifier: Apache-2.0 */
/* A library to preload into a store: it delays syncs and moves the wall clock as the file named by
 * DRILL_FAULTS says, which the drill changes while the store runs. The monotonic clock is never
 * touched. */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NS = 1000000000 };

struct faults {
	volatile int64_t sync_delay_ns, clock_offset_ns;
};

static struct faults none;
static struct faults *faults = &none;
static long (*real_syscall)(long number, ...);
static int (*real_clock_gettime)(clockid_t clock, struct timespec *t);

__attribute__((constructor)) static void faults_open(void)
{
	real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	real_clock_gettime =
	    (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	const char *path = getenv("DRILL_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *p = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		faults = p;
	close(fd);
}

static void add_ns(struct timespec *t, int64_t ns)
{
	int64_t sum = (int64_t)t->tv_sec * NS + t->tv_nsec + ns;
	t->tv_sec = sum / NS;
	t->tv_nsec = sum % NS;
}

static void delay(void)
{
	struct timespec t = {0};
	add_ns(&t, faults->sync_delay_ns);
	if (faults->sync_delay_ns)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

int fdatasync(int fd)
{
	delay();
	return (int)real_syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	delay();
	return (int)real_syscall(SYS_fsync, fd);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int r = real_clock_gettime(clock, t);
	if (!r && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		add_ns(t, faults->clock_offset_ns);
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

/* A wait until a moment of the wall clock, which the caller computed from the moved one. */
long syscall(long number, ...)
{
	long a[6];
	va_list ap;
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	struct timespec until;
	if (number == SYS_futex && a[3] && (a[1] & FUTEX_CLOCK_REALTIME)) {
		until = *(const struct timespec *)a[3];
		add_ns(&until, -faults->clock_offset_ns);
		a[3] = (long)&until;
	}
	return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
