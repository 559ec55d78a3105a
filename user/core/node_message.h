/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of a Node worker, as its IPC channel has them: one JSON value a line. Pure: the line is
 * an argument. It is untrusted. */
#pragma once

#include <stddef.h>

/*
 * The text of a message for the supervisor: a string such as "ready" or, as PM2's libraries send
 * it, an object with the string as its `type`, or as the `data` of type "process:msg". The caller
 * frees it. NULL for Node's own messages, for all others, if the line is not exactly one JSON
 * value, and if memory is short.
 */
char *node_message_text(const char *line, size_t n);
