/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that stay open until the case ends. */
#pragma once

#include <reuseportd/abi.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors that are open, the oldest first. */
extern int socket_bed_fds[];
extern size_t socket_bed_n;

/* Keeps @fd open until the case ends. Returns it. */
int socket_bed_keep(int fd);

/* Opens a listener in @e, and sets the port of @e if that is 0. Returns its descriptor, or -1. */
int socket_bed_listen(struct rpd_endpoint *e, int backlog);

/* As socket_bed_listen(), but the caller closes the listener. */
int socket_bed_listen_unkept(struct rpd_endpoint *e, int backlog);

/* Connects to @e over IPv4. Returns the descriptor, or -1. */
int socket_bed_connect(const struct rpd_endpoint *e);

/* Opens a connection to a peer that does not read, and fills it: its last close takes @seconds.
 * Returns the descriptor. */
int socket_bed_connect_lingering(int seconds);

/* 127.0.0.1, port 0. */
struct rpd_endpoint socket_bed_loopback(void);

/* The inode of a socket or file; 0 if it is not open. */
uint32_t socket_bed_inode(int fd);

/* Descriptors of this process. */
size_t socket_bed_count_descriptors(void);
