/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients of run_service, over loopback. */
#pragma once

#include <sys/types.h>

#include "beds/run_service.h"

/* Connects to the endpoint. Returns the descriptor or a negative errno. */
int run_client_connect(const struct rpd_endpoint *endpoint);

/* Connects to endpoint @e of run_service. Returns the descriptor; fails the case otherwise. */
int run_client_open(unsigned int e);

/* Sends a line of @n bytes. */
void run_client_send(int fd, size_t n);

/* Reads the answer and closes. Returns how many bytes the worker has read, or a negative errno.
 * @ret_pid (may be NULL): the worker's pid. */
long run_client_answer(int fd, pid_t *ret_pid);

/* Makes a connection, and waits for its answer. Returns the worker's pid. */
pid_t run_client_visit(unsigned int e);

/* Closes the connection with a reset. */
void run_client_reset(int fd);

/* Whether the server has reset the connection. */
bool run_client_is_reset(int fd);
