/* SPDX-License-Identifier: BSD-2-Clause */
/* The process at the other end of a connection to the control socket. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Whether it may send requests: it belongs to root or to our own user. *ret: its process ID; 0 if
 * it is outside our PID namespace. */
bool control_peer_may_ask(int fd, pid_t *ret);

/* Tells it that too many commands are connected. */
void control_peer_refuse(int fd);
