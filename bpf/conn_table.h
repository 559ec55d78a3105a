/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The table of open connections: the address of a connection's socket -> its tag (abi.h).
 *
 * Why a table of our own, beside a hash map that takes what doesn't fit: a connection that is begun
 * and closed costs some 30 us, and each line of memory that isn't in a cache 0.1. Socket storage
 * and elements of a hash map are allocated from cold memory and freed after a grace period; here
 * nothing is allocated. The kernel gives a new socket the memory of the one that was freed last, so
 * its bucket is likely to be warm; and the index keeps neighbours together: sockets are longer than
 * 2 kB, so no more than RPD_CONN_WAYS of them begin in the 8 kB of a bucket. Two that are far
 * apart may have the same one.
 *
 * A connection's entry is only written while the kernel holds its socket, by the programs that see
 * it begin, move or end.
 */
#pragma once

#include <bpf/bpf_helpers.h>
#include <reuseportd/abi.h>
#include "shared_maps.h"

#define CONN_BUCKET_LOG 13 /* bytes of memory whose sockets share a bucket */

const volatile __u32 conn_mask; /* buckets of map "conns", less one */

static __always_inline struct rpd_conns *conn_bucket(const void *sk)
{
	__u64 low;
	__u32 at;

	/* The verifier lets nobody calculate with a pointer, but half of one is a number. */
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

static __always_inline struct rpd_control *conn_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* Its tag, or NULL if it isn't there. */
static __always_inline __u64 *conn_find(const void *sk)
{
	struct rpd_conns *bucket = conn_bucket(sk);
	struct rpd_control *ctl;
	__u64 key = (__u64)sk;

	if (!bucket)
		return NULL;
#pragma unroll
	for (int i = 0; i < RPD_CONN_WAYS; i++)
		if (bucket->sk[i] == key)
			return &bucket->tag[i];
	ctl = conn_control();
	return ctl && ctl->n_more ? bpf_map_lookup_elem(&conns_more, &key) : NULL;
}

/* Puts in one that isn't there; false if there is no room. */
static __always_inline bool conn_put(const void *sk, __u64 tag)
{
	struct rpd_conns *bucket = conn_bucket(sk);
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
	ctl = conn_control();
	/* Before Linux 6.4 only the lower half of what it returns is right. */
	if (!ctl || (int)bpf_map_update_elem(&conns_more, &key, &tag, BPF_NOEXIST) < 0)
		return false;
	__sync_fetch_and_add(&ctl->n_more, 1);
	return true;
}

/* Takes it out, and returns its tag; RPD_TAG_NONE if it isn't there. */
static __always_inline __u64 conn_take(const void *sk)
{
	struct rpd_conns *bucket = conn_bucket(sk);
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
	ctl = conn_control();
	more = ctl && ctl->n_more ? bpf_map_lookup_elem(&conns_more, &key) : NULL;
	if (!more)
		return RPD_TAG_NONE;
	tag = *more;
	/* An element of a hash map can't always be deleted (EBUSY before Linux 6.7, when an
	 * interrupt has come in the middle of another deletion). Then the next connection that has
	 * the socket's memory takes it over. */
	*more = RPD_TAG_NONE;
	if ((int)bpf_map_delete_elem(&conns_more, &key) == 0)
		__sync_fetch_and_add(&ctl->n_more, -1);
	return tag;
}
