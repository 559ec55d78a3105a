/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaches and detaches the steering program by a listener that is borrowed from a process. The
 * kernel takes the socket's lock for that, and the process can keep this lock as long as it likes:
 * a child waits for it.
 */
#pragma once

#include <stdint.h>

#include "kern/steer.h"

/* Attaches the endpoint's program to the group of @fd, a duplicate of a listener of process @pid.
 * Returns 0 or a negative errno, which steer_borrowed_why() explains. */
int steer_borrowed_attach(const struct steer *steer, unsigned int endpoint, int fd, uint32_t pid);

/* Detaches any program from the group of @fd, a duplicate of a listener of any process. A group
 * without one is no error. */
int steer_borrowed_detach(const struct steer *steer, int fd);

/* Turns SO_REUSEPORT of @fd on again, a duplicate of a listener of process @pid. */
int steer_borrowed_rejoin(int fd, uint32_t pid);

const char *steer_borrowed_why(int r);
