/* SPDX-License-Identifier: BSD-2-Clause */
/* A file, pipe, socket or terminal that lines are written to, without ever waiting for it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct out_stream {
	int fd;
	bool own; /* the open file is ours alone, and doesn't block */
	mode_t kind;
	dev_t dev; /* the file itself */
	ino_t ino;
};

/* Prepares for writing to @fd, which stays the caller's and must stay open. */
void out_stream_open(struct out_stream *stream, int fd);

/* Writes the beginning of @text, as much as is accepted now: if possible whole lines. Lines of up
 * to PIPE_BUF bytes go into a pipe or a socket as a whole or not at all, even if we are killed.
 * Returns the number of bytes, or -1 with errno set: EAGAIN if nothing is accepted now. */
ssize_t out_stream_write(const struct out_stream *stream, const char *text, size_t n);

/* Whether it is a file that ends within a line, because its writer was killed. */
bool out_stream_ends_in_line(const struct out_stream *stream);

/* Closes what out_stream_open() has opened; @fd is the descriptor that was given to it. */
void out_stream_close(struct out_stream *stream, int fd);
