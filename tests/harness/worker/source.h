/* SPDX-License-Identifier: BSD-2-Clause */
/* What epoll reports; the first member of all that a lane waits for. */
#pragma once

struct lane;

struct source {
	void (*ready)(struct lane *lane, struct source *source);
	int fd;
};
