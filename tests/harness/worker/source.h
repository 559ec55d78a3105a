/* SPDX-License-Identifier: BSD-2-Clause */
/* The base of everything that a lane polls: the first member of each such structure. */
#pragma once

struct lane;

struct source {
	void (*ready)(struct lane *lane, struct source *source);
	int fd;
};
