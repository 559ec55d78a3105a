/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/features.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "kern/privileges.h"

/* Not an errno of user space, but bpf() returns it. */
#define KERNEL_ENOTSUPP 524

#define INSN(op, dst, source, offset, value)                                                       \
	{                                                                                          \
		.code = (op), .dst_reg = (dst), .src_reg = (source), .off = (offset),              \
		.imm = (value)                                                                     \
	}
#define INSN_RETURN(value)                                                                         \
	INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value),                                 \
	        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Judges an attempt to use a feature by its result @r: a negative errno, or success. Returns what
 * features_probe() returns. */
static int features_judge(int r)
{
	switch (-r) {
	case E2BIG: /* bpf(): the argument has fields that this kernel doesn't know */
	case EINVAL:
	case ENOPROTOOPT:
	case ENOSYS:
	case KERNEL_ENOTSUPP:
		return 0;
	default:
		return r < 0 ? r : 1;
	}
}

static int features_create_map(enum bpf_map_type type, uint32_t value_size, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);

	return bpf_map_create(type, NULL, sizeof(uint32_t), value_size, 1, &opts);
}

static int features_probe_map(enum bpf_map_type type)
{
	_cleanup_close_ int map = features_create_map(type, sizeof(uint64_t), 0);

	return features_judge(map);
}

static int features_probe_program(enum bpf_prog_type type, enum bpf_attach_type attach,
                                  const struct bpf_insn *insns, size_t n)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	_cleanup_close_ int prog = bpf_prog_load(type, NULL, "Dual BSD/GPL", insns, n, &opts);

	return prog == -EACCES ? 0 : features_judge(prog); /* EACCES: the verifier refuses it */
}

static int features_probe_bpf(void)
{
	return features_probe_map(BPF_MAP_TYPE_ARRAY);
}

static int features_probe_sk_reuseport(void)
{
	static const struct bpf_insn insns[] = {INSN_RETURN(SK_PASS)};

	return features_probe_program(BPF_PROG_TYPE_SK_REUSEPORT, 0, insns, ARRAY_SIZE(insns));
}

static int features_probe_sockarray(void)
{
	return features_probe_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
}

/* A kernel that doesn't know the attach type ignores it, but it refuses the unknown field. */
static int features_probe_migrate(void)
{
	static const struct bpf_insn insns[] = {
	        INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_1,
	             offsetof(struct sk_reuseport_md, migrating_sk), 0),
	        INSN_RETURN(SK_PASS),
	};

	return features_probe_program(BPF_PROG_TYPE_SK_REUSEPORT,
	                              BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, insns, ARRAY_SIZE(insns));
}

static int features_probe_fetch_add(void)
{
	static const struct bpf_insn insns[] = {
	        INSN(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
	        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
	        INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_10, BPF_REG_1, -8, BPF_ADD | BPF_FETCH),
	        INSN_RETURN(0),
	};

	return features_probe_program(BPF_PROG_TYPE_SOCKET_FILTER, 0, insns, ARRAY_SIZE(insns));
}

static int features_probe_mmap_array(void)
{
	_cleanup_close_ int map = features_create_map(BPF_MAP_TYPE_ARRAY, 8, BPF_F_MMAPABLE);
	void *memory;

	if (map < 0)
		return features_judge(map);
	memory = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (memory == MAP_FAILED)
		return features_judge(-errno);
	munmap(memory, 8);
	return 1;
}

static int features_probe_array_of_maps(void)
{
	_cleanup_close_ int inner = features_create_map(BPF_MAP_TYPE_ARRAY, 8, 0);
	_cleanup_close_ int outer = -1;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);

	if (inner < 0)
		return features_judge(inner);
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL, 4, 4, 1, &opts);
	return features_judge(outer);
}

static int features_probe_pidfd_getfd(void)
{
	_cleanup_close_ int self = syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_close_ int copy = -1;

	if (self < 0)
		return features_judge(-errno);
	copy = syscall(SYS_pidfd_getfd, self, self, 0);
	return features_judge(copy < 0 ? -errno : 0);
}

static int features_probe_netns_cookie(void)
{
	_cleanup_close_ int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		return features_judge(-errno);
	return 1;
}

static int features_probe_sockops(void)
{
	static const struct bpf_insn insns[] = {INSN_RETURN(1)};

	return features_probe_program(BPF_PROG_TYPE_SOCK_OPS, 0, insns, ARRAY_SIZE(insns));
}

static int features_probe_ringbuf(void)
{
	_cleanup_close_ int map =
	        bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, sysconf(_SC_PAGESIZE), NULL);

	return features_judge(map);
}

static int features_probe_btf(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 1;
}

/* Lockdown in mode "confidentiality" forbids it. */
static int features_probe_read_kernel(void)
{
	static const struct bpf_insn insns[] = {
	        INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0),
	        INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -8),
	        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 8),
	        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0),
	        INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel),
	        INSN_RETURN(SK_PASS),
	};

	return features_probe_program(BPF_PROG_TYPE_SK_REUSEPORT, 0, insns, ARRAY_SIZE(insns));
}

static int features_probe_cgroup_skb(void)
{
	static const struct bpf_insn insns[] = {INSN_RETURN(1)};

	return features_probe_program(BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, insns,
	                              ARRAY_SIZE(insns));
}

static const struct feature features[] = {
        [FEATURE_BPF] = {"bpf() system call", "3.18", true, "all of steering", features_probe_bpf},
        [FEATURE_SK_REUSEPORT] = {"sk_reuseport program", "4.19", true, "choosing the worker",
                                  features_probe_sk_reuseport},
        [FEATURE_SOCKARRAY] = {"reuseport socket array", "4.19", true, "the slots of the workers",
                               features_probe_sockarray},
        [FEATURE_MIGRATE] = {"connection migration", "5.14", true,
                             "keeping the queue of a listener that closes", features_probe_migrate},
        [FEATURE_FETCH_ADD] = {"BPF fetch-and-add", "5.12", true, "an exactly even spread",
                               features_probe_fetch_add},
        [FEATURE_MMAP_ARRAY] = {"memory-mapped BPF array", "5.5", true, "switching in one step",
                                features_probe_mmap_array},
        [FEATURE_ARRAY_OF_MAPS] = {"BPF array of maps", "4.12", true,
                                   "waiting until a switch is in force on every CPU",
                                   features_probe_array_of_maps},
        [FEATURE_PIDFD_GETFD] = {"pidfd_getfd()", "5.6", true, "attaching to running workers",
                                 features_probe_pidfd_getfd},
        [FEATURE_NETNS_COOKIE] = {"SO_NETNS_COOKIE", "5.14", true, "identifying network namespaces",
                                  features_probe_netns_cookie},
        [FEATURE_SOCKOPS] = {"sockops program", "4.13", false, "--watch", features_probe_sockops},
        [FEATURE_RINGBUF] = {"BPF ring buffer", "5.8", false, "--watch", features_probe_ringbuf},
        [FEATURE_BTF] = {"kernel BTF", "5.4", false, "counting connections, --skip-stuck",
                         features_probe_btf},
        [FEATURE_READ_KERNEL] = {"bpf_probe_read_kernel()", "5.5", false,
                                 "counting connections, --skip-stuck", features_probe_read_kernel},
        [FEATURE_CGROUP_SKB] = {"cgroup_skb program", "4.17", false, "--http",
                                features_probe_cgroup_skb},
};
_Static_assert(ARRAY_SIZE(features) == FEATURE_MAX, "a row for each probe");

const struct feature *features_describe(enum feature_id feature)
{
	return &features[feature];
}

int features_probe(enum feature_id feature)
{
	return features[feature].probe();
}

/* Lists the missing required features in @err. Returns 0 if there is none, 1 if the kernel lacks
 * one, or the errno of the first failed probe. */
static int features_list_missing(struct error *err)
{
	int result = 0;

	for (enum feature_id id = 0; id < FEATURE_MAX; id++) {
		const struct feature *f = features_describe(id);
		int r = f->required ? features_probe(id) : 1;

		if (r == 1)
			continue;
		if (result == 0)
			error_set(err, -1, "the kernel lacks what reuseportd needs:");
		if (result != 1)
			result = r == 0 ? 1 : r;
		error_add(err, 0, "\n  %s (Linux %s), for %s%s%s", f->name, f->since, f->purpose,
		          r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
		if (id == FEATURE_BPF)
			break; /* without it most other probes fail, too */
	}
	return result;
}

int features_require(struct error *err)
{
	struct utsname kernel;
	char missing[256];
	int r;

	r = privileges_check(missing, sizeof(missing));
	if (r < 0)
		return error_set(err, r, "can't read our capabilities: %s", strerror(-r));
	if (r == 0)
		return error_set(err, -EPERM,
		                 "needs root, or the capabilities " PRIVILEGES_NEEDED
		                 ": missing: %s",
		                 missing);
	r = features_list_missing(err);
	if (r == 0)
		return 0;
	if (r < 0)
		return error_add(
		        err, r,
		        "\nour capabilities are sufficient, so a user namespace, a seccomp "
		        "filter or a security module denies it, as in a container");
	uname(&kernel);
	return error_add(err, -EOPNOTSUPP,
	                 "\nthis kernel is %s; reuseportd needs Linux 5.14 or later, and no "
	                 "seccomp filter that denies the above",
	                 kernel.release);
}
