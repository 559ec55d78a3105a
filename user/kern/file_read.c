/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/file_read.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Sets *ret_regular to false if the file can be opened, but is not regular. */
static int file_read_open(int folder, const char *name, bool *ret_regular)
{
	const struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	                             .resolve = RESOLVE_NO_MAGICLINKS};
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_regular = S_ISREG(st.st_mode);
	return *ret_regular ? TAKE_FD(fd) : -EINVAL;
}

/* Reads until @size bytes have come or the file ends. */
static ssize_t file_read_some(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n < size) {
		const ssize_t got = read(fd, buf + n, size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_size, struct error *err)
{
	bool is_regular = true;
	_cleanup_close_ int fd = file_read_open(AT_FDCWD, path, &is_regular);
	_cleanup_free_ char *text = fd < 0 ? NULL : malloc(max + 2);
	char *fitting;
	ssize_t n;

	if (!is_regular)
		return error_usage(err, "can't read '%s': it is not a regular file", path);
	n = fd < 0 ? fd : !text ? -ENOMEM : file_read_some(fd, text, max + 1);
	if (n < 0) {
		error_usage(err, "can't read '%s': %s", path, strerror((int)-n));
		return (int)n;
	}
	if ((size_t)n > max)
		return error_usage(err, "can't read '%s': it is larger than %zu MB", path,
		                   max >> 20);
	text[n] = '\0';
	fitting = realloc(text, (size_t)n + 1);
	*ret = fitting ? fitting : text;
	TAKE_PTR(text);
	if (ret_size)
		*ret_size = (size_t)n;
	return 0;
}

int file_read_head(int folder, const char *name, char *head, size_t size)
{
	bool is_regular;
	_cleanup_close_ int fd = file_read_open(folder, name, &is_regular);
	const ssize_t n = fd < 0 ? fd : file_read_some(fd, head, size - 1);

	head[n > 0 ? n : 0] = '\0';
	return (int)n;
}
