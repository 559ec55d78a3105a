/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table of open connections: the address of a connection's socket -> its tag (abi.h).
 *
 * Why a table of our own, with a hash map for what doesn't fit: a connection costs some 30 us from
 * begin to end, and each line of memory that isn't in a cache costs 0.1 us. Socket storage and the
 * elements of a hash map are allocated from cold memory and freed after a grace period; here
 * nothing is allocated. The kernel gives a new socket the memory of the socket that was freed last,
 * so its bucket is likely to be in a cache. The index keeps neighbours together: sockets are longer
 * than 2 kB, so at most RPD_CONN_WAYS of them begin in the 8 kB of a bucket. Sockets that are far
 * apart may share a bucket.
 *
 * The programs write a connection's entry only while the kernel holds its socket: when it begins,
 * migrates or ends.
 */
#pragma once

#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include "shared_maps.h"

#define CONN_BUCKET_LOG 13 /* log2 of the bytes of memory that share a bucket */

const volatile __u32 conn_mask; /* buckets of map "conns", less one */

static __always_inline struct rpd_conns *conn_table_bucket(const void *sk)
{
	__u64 low;
	__u32 at;

	/* The verifier allows no arithmetic on a pointer, but half of a pointer is a number. */
	asm volatile(
	        "r0 = %1\n"
	        "w0 = w0\n"
	        "%0 = r0"
	        : "=r"(low)
	        : "r"(sk)
	        : "r0");
	at = ((__u32)low >> CONN_BUCKET_LOG) & conn_mask;
	return bpf_map_lookup_elem(&conns, &at);
}

static __always_inline struct rpd_control *conn_table_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* Returns the connection's tag, or NULL if it isn't in the table. */
static __always_inline __u64 *conn_table_find(const void *sk)
{
	struct rpd_conns *bucket = conn_table_bucket(sk);
	struct rpd_control *ctl;
	__u64 key = (__u64)sk;

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < RPD_CONN_WAYS; i++)
		if (bucket->sk[i] == key)
			return &bucket->tag[i];
	ctl = conn_table_control();
	return ctl && ctl->n_more ? bpf_map_lookup_elem(&conns_more, &key) : NULL;
}

/* Adds a connection that isn't in the table. Returns false if there is no room. */
static __always_inline bool conn_table_add(const void *sk, __u64 tag)
{
	struct rpd_conns *bucket = conn_table_bucket(sk);
	struct rpd_control *ctl;
	__u64 key = (__u64)sk;

	if (!bucket)
		return false;
#pragma unroll
	for (int i = 0; i < RPD_CONN_WAYS; i++) {
		if (bucket->sk[i] || __sync_val_compare_and_swap(&bucket->sk[i], 0, key))
			continue;
		bucket->tag[i] = tag;
		return true;
	}
	ctl = conn_table_control();
	/* Before Linux 6.4 only the lower half of the return value is valid. */
	if (!ctl || (int)bpf_map_update_elem(&conns_more, &key, &tag, BPF_NOEXIST) < 0)
		return false;
	__sync_fetch_and_add(&ctl->n_more, 1);
	return true;
}

/* Removes the connection. Returns its tag, or RPD_TAG_NONE if it isn't in the table. */
static __always_inline __u64 conn_table_remove(const void *sk)
{
	struct rpd_conns *bucket = conn_table_bucket(sk);
	struct rpd_control *ctl;
	__u64 key = (__u64)sk, tag, *more;

	if (!bucket)
		return RPD_TAG_NONE;
#pragma unroll
	for (int i = 0; i < RPD_CONN_WAYS; i++) {
		if (bucket->sk[i] != key)
			continue;
		tag = bucket->tag[i];
		__sync_lock_test_and_set(&bucket->sk[i], 0); /* a barrier, too */
		return tag;
	}
	ctl = conn_table_control();
	more = ctl && ctl->n_more ? bpf_map_lookup_elem(&conns_more, &key) : NULL;
	if (!more)
		return RPD_TAG_NONE;
	tag = *more;
	/* An element of a hash map can't always be deleted (before Linux 6.7 EBUSY, if an interrupt
	 * came in the middle of another deletion). It then stays, marked as free, for the next
	 * connection in the same memory. */
	*more = RPD_TAG_NONE;
	if ((int)bpf_map_delete_elem(&conns_more, &key) == 0)
		__sync_fetch_and_add(&ctl->n_more, -1);
	return tag;
}
