/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets that belong to another cgroup. */
#pragma once

/*
 * Like socket() with protocol 0, but the socket belongs to cgroup @cgroup (a directory descriptor;
 * -1: ours): the BPF programs of that cgroup act on it, whichever process uses it. Returns the
 * socket or a negative errno.
 */
int cgroup_socket(int cgroup, int family, int type);
