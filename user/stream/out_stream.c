/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/out_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static int out_stream_reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/*
 * O_NONBLOCK belongs to the open file, which other processes (such as a shell) share, so it is not
 * ours to change. A pipe and a terminal can be opened again, for us alone. Otherwise we poll before
 * each write.
 */
void out_stream_open(struct out_stream *stream, int fd)
{
	struct stat st;
	int own = -1;

	*stream = (struct out_stream){.fd = fd};
	if (fstat(fd, &st) == 0) {
		stream->kind = st.st_mode & S_IFMT;
		stream->dev = st.st_dev;
		stream->ino = st.st_ino;
	}
	if (stream->kind == S_IFIFO || stream->kind == S_IFCHR)
		own = out_stream_reopen(fd, O_WRONLY);
	if (own < 0)
		return;
	stream->fd = own;
	stream->own = true;
}

bool out_stream_ends_in_line(const struct out_stream *stream)
{
	_cleanup_close_ int fd =
	        stream->kind == S_IFREG ? out_stream_reopen(stream->fd, O_RDONLY) : -1;
	const off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	char last;

	return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

/* How many bytes to write at once: if possible whole lines that go into a pipe as one piece. */
static size_t out_stream_piece(const struct out_stream *stream, const char *text, size_t n)
{
	const char *end;

	if (stream->kind == S_IFREG || n <= PIPE_BUF)
		return n;
	end = memrchr(text, '\n', PIPE_BUF);
	return end ? (size_t)(end + 1 - text) : PIPE_BUF;
}

ssize_t out_stream_write(const struct out_stream *stream, const char *text, size_t n)
{
	struct pollfd ready = {.fd = stream->fd, .events = POLLOUT};

	n = out_stream_piece(stream, text, n);
	if (stream->kind == S_IFSOCK)
		return send(stream->fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (stream->kind != S_IFREG && !stream->own && poll(&ready, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(stream->fd, text, n);
}

void out_stream_close(struct out_stream *stream, int fd)
{
	if (stream->fd != fd)
		close(stream->fd);
	stream->fd = -1;
}
