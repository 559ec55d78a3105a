/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages between a supervisor and the log process of its service, over a pair of sockets
 * (SOCK_SEQPACKET). Both ends are the same executable.
 */
#pragma once

#include <limits.h>
#include <reuseportd/abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define LOG_MESSAGE_FD         3 /* of the log process: its end of the pair */
#define LOG_MESSAGE_DIR_FD     4 /* of the log process: the service's run directory */
#define LOG_MESSAGE_WATCH_FD   5 /* of the log process: the memory of struct log_message_watch */
#define LOG_MESSAGE_GROUPS_MAX 256
#define LOG_MESSAGE_FDS        3    /* at most, with a message */
#define LOG_MESSAGE_CHANNEL    2    /* the index of the channel */
#define LOG_MESSAGE_TAIL_MAX   4096 /* bytes, with the final NUL */

/* A worker's FIFOs are out/SLOT-NUMBER and this, in the run directory. */
#define LOG_MESSAGE_FIFOS                                                                          \
	{                                                                                          \
		".out", ".err"                                                                     \
	}

enum log_message_kind {
	/* A worker has been started; with descriptors: its streams, to read, and our end of its
	 * channel, or -1, to keep open. */
	LOG_MESSAGE_ADD,
	LOG_MESSAGE_GONE, /* all its processes have ended */
	LOG_MESSAGE_TAIL, /* asks for its last lines: answered by a struct log_message_tail */
	LOG_MESSAGE_MOVE, /* the run directory was made again; with a descriptor of it */
};

/* Where the lines of standard output go, those of standard error, and those of both. */
#define LOG_MESSAGE_PLACES 3
#define LOG_MESSAGE_BOTH   2

struct log_message_place {
	int stream; /* STDOUT_FILENO or STDERR_FILENO: of the supervisor; 0: a file; -1: nowhere */
	char path[PATH_MAX]; /* of the file */
};

struct log_message {
	enum log_message_kind kind;
	uint32_t slot, number; /* of the worker */
	/* The rest is for LOG_MESSAGE_ADD. */
	char prefix[RPD_LABEL_MAX + 16]; /* before each line; or "" */
	struct log_message_place places[LOG_MESSAGE_PLACES];
	/* The rights that the files are opened with. */
	bool set_user, limited;
	uid_t uid;
	gid_t gid;
	uint32_t n_groups;
	gid_t groups[LOG_MESSAGE_GROUPS_MAX];
};

struct log_message_tail {
	uint32_t slot, number;
	char text[LOG_MESSAGE_TAIL_MAX];
};

/* Memory of both: which worker's stream the log process reads. A worker can keep its pipe locked,
 * and then the log process waits, and no signal interrupts it. */
struct log_message_watch {
	uint32_t turn;   /* odd while it reads */
	uint32_t number; /* of the worker */
};

/* Sends @message, with the descriptors @fds that belong to its kind. Never waits. Returns 0 or a
 * negative errno. */
int log_message_send(int fd, const struct log_message *message, const int fds[LOG_MESSAGE_FDS]);

/* Receives a message, and its descriptors, which the caller closes; -1 for each other one. Never
 * waits. Returns 1; 0 if the other end is closed; or a negative errno. */
int log_message_receive(int fd, struct log_message *ret, int ret_fds[LOG_MESSAGE_FDS]);
