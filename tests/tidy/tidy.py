#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the tree that a compiler does not make (ARCHITECTURE.md, Layers).

  layers   an #include may only name a folder that stands above the including one
  pure     the static libraries of pure folders may need nothing but each other and an allow-list
  text     SPDX lines, #pragma once, banned calls, words of unfinished work, machine paths
  readme   each source folder has a README.md of one screen

Usage: tidy.py CHECK SOURCE_ROOT [BUILD_ROOT]
Each check prints what it found and exits 1 when that is anything. `tidy.py selftest` proves that
each check can fail.
"""
import os
import re
import subprocess
import sys
import tempfile

LAYERS = ['common/base', 'common/codec', 'proto', 'common/cel', 'common/net', 'common/daemon', 'common/client']
DAEMONS = ['raftstore', 'apiserver', 'scheduler', 'controller-manager', 'kubelet', 'kube-proxy']

PURE = ['common/codec', 'proto', 'common/cel', 'raftstore/raft', 'raftstore/mvcc', 'raftstore/bbolt', 'raftstore/auth',
        'apiserver/policy', 'apiserver/registry',
        'apiserver/patch', 'apiserver/fieldmanager', 'apiserver/admission', 'apiserver/cache',
        'apiserver/auth/rbac', 'scheduler/core', 'scheduler/plugins', 'kubelet/core',
        'kube-proxy/core']
PURE_PATTERN = re.compile(r'^controller-manager/[a-z-]+/plan$')

ALLOWED = re.compile(
    r'^(mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|__mem\w+_chk|str(n?len|n?cmp|r?chr|chrnul|str|spn|cspn|pbrk'
    r'|tol|toul|toll|toull|tod|n?casecmp)|__isoc23_strto\w+|v?snprintf|__v?snprintf_chk|qsort(_r)?|bsearch'
    r'|malloc|calloc|realloc|reallocarray|strn?dup|free|abort|__assert_fail|__stack_chk_fail|__ctype_\w+_loc'
    r'|toupper|tolower|is(alpha|digit|alnum|space|print|xdigit|upper|lower)'
    r'|floor|ceil|pow|fmod|log10|frexp|ldexp|modf|trunc|round|signbit|__signbitl?|__isnan|__isinf|__fpclassify'
    r'|__u?divmodti4|__float(un)?tidf|__fixdfti|__udivti3|__umodti3|__divti3|__modti3|__popcountdi2|__muloti4|__cpu_model|__cpu_indicator_init'
    r'|_GLOBAL_OFFSET_TABLE_|__tls_get_addr|protobuf_c_\w+|yaml_\w+|pcre2_\w+|SHA256\w*|EVP_sha\w*)$')
# Symbols of common/base that read the world: a pure folder must not need them.
IMPURE_BASE = re.compile(r'^(clock_\w+|log_\w+|worker_\w+|rng_system|rng_uuid|rng_name_suffix)$')

BANNED = re.compile(r'(?<![\w>.])(strcpy|strcat|sprintf|gets|atoi|atol|system|popen|mktemp|tmpnam'
                    r'|alloca)\s*\(')
UNFINISHED = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')
MACHINE = re.compile(r'(?<![\w.])/(work|farm)/|deb\.debian\.org|registry\.npmjs')


def sources(root):
    """Tracked files where there is a repository (whoever owns it), else every file outside of builds."""
    try:
        out = subprocess.run(['git', '-c', 'safe.directory=*', '-C', root, 'ls-files'], capture_output=True, text=True,
                             check=True).stdout.split('\n')
        return [f for f in out if f]
    except (subprocess.CalledProcessError, FileNotFoundError):
        found = []
        for folder, inside, names in os.walk(root):
            inside[:] = [d for d in inside if d not in ('.git', '__pycache__') and not d.startswith('build')]
            found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
        return found


def place(path):
    """(layer number, daemon or None) of a path; tests stand below everything."""
    for i, layer in enumerate(LAYERS):
        if path.startswith(layer + '/'):
            return i, None
    for daemon in DAEMONS:
        if path.startswith(daemon + '/'):
            return len(LAYERS), daemon
    if path.startswith(('tests/', 'deploy/')):
        return len(LAYERS) + 1, None
    return None, None


def check_layers(root, _build):
    bad = []
    for path in sources(root):
        if not path.endswith(('.c', '.h')):
            continue
        layer, daemon = place(path)
        if layer is None:
            bad.append(f'{path}: not in a known folder')
            continue
        is_test = path.endswith('_test.c')
        for n, line in enumerate(open(os.path.join(root, path), errors='replace'), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                if re.match(r'\s*#\s*include\s+<lmdb\.h>', line) and \
                        not path.startswith('raftstore/store/'):
                    bad.append(f'{path}:{n}: only raftstore/store includes <lmdb.h>')
                continue
            other, other_daemon = place(m.group(1))
            if other is None:
                if not m.group(1).endswith('.pb-c.h') and '/' not in m.group(1):
                    bad.append(f'{path}:{n}: "{m.group(1)}" is not a path from the root')
                continue
            if other_daemon and daemon and other_daemon != daemon:
                bad.append(f'{path}:{n}: {daemon} includes {other_daemon}')
            elif other > layer and not (is_test and other > len(LAYERS)):
                bad.append(f'{path}:{n}: includes {m.group(1)}, which stands below it')
    return bad


def archive_symbols(archive):
    """(undefined by object, defined) of a static library."""
    undefined, defined, member = {}, set(), ''
    out = subprocess.run(['nm', archive], capture_output=True, text=True, check=True).stdout
    for line in out.split('\n'):
        if line.endswith(':'):
            member = line[:-1]
            continue
        parts = line.split()
        if len(parts) >= 2 and parts[-2] in ('U', 'w'):
            undefined.setdefault(parts[-1], member)
        elif len(parts) == 3 and parts[1] not in 'a':
            defined.add(parts[2])
    return undefined, defined


def is_pure(folder):
    return any(folder == p or folder.startswith(p + '/') for p in PURE) or \
        bool(PURE_PATTERN.match(folder))


def check_pure(_root, build):
    archives = []
    for folder, _, names in os.walk(build):
        rel = os.path.relpath(folder, build)
        for name in names:
            if name.endswith('.a') and (is_pure(rel) or rel == 'common/base'):
                archives.append((rel, os.path.join(folder, name)))
    if not any(rel != 'common/base' for rel, _ in archives):
        return [f'no pure libraries under {build}: build first']
    known, needs = set(), []
    for rel, archive in archives:
        undefined, defined = archive_symbols(archive)
        if rel == 'common/base':
            known |= {s for s in defined if not IMPURE_BASE.match(s)}
        else:
            known |= defined
            needs.append((rel, undefined))
    bad = []
    for rel, undefined in needs:
        for symbol, member in sorted(undefined.items()):
            if symbol not in known and not ALLOWED.match(symbol.split('@')[0]):
                bad.append(f'{rel}: {member} needs {symbol}')
    return bad


def check_text(root, _build):
    bad = []
    for path in sources(root):
        if path.startswith(('tests/golden/', 'tests/tidy/')) or '/testdata/' in path or \
                '/corpus/' in path:
            continue
        full = os.path.join(root, path)
        if not path.endswith(('.c', '.h', '.py', '.sh', '.proto', '.md', '.build', '.txt')):
            continue
        lines = open(full, errors='replace').read().split('\n')
        if path.endswith(('.c', '.h', '.proto')) and not any(
                'SPDX-License-Identifier: Apache-2.0' in line for line in lines[:3]):
            bad.append(f'{path}:1: no SPDX line')
        if path.endswith('.h') and '#pragma once' not in lines:
            bad.append(f'{path}:1: no #pragma once')
        for n, line in enumerate(lines, 1):
            if MACHINE.search(line):
                bad.append(f'{path}:{n}: a path or host of one machine')
            if path.endswith(('.c', '.h')):
                if BANNED.search(line) and not re.match(r'\s*(/\*|\*)', line):
                    bad.append(f'{path}:{n}: banned call: {line.strip()[:60]}')
                if UNFINISHED.search(line):
                    bad.append(f'{path}:{n}: unfinished work: {line.strip()[:60]}')
    return bad


def check_readme(root, _build):
    folders = {}
    for path in sources(root):
        folders.setdefault(os.path.dirname(path), set()).add(os.path.basename(path))
    bad = []
    for folder, names in sorted(folders.items()):
        if not folder.startswith(tuple(LAYERS + DAEMONS + ['tests'])):
            continue
        if not any(n.endswith('.c') for n in names):
            continue
        own = os.path.join(root, folder, 'README.md')
        # A folder may be described by the one that it is part of, two levels up at most.
        above = [os.path.normpath(os.path.join(root, folder, up, 'README.md')) for up in ('..', '../..')]
        above = [f for f in above if os.path.dirname(f) != os.path.normpath(root)]
        if not os.path.exists(own):
            if not any(os.path.exists(f) for f in above):
                bad.append(f'{folder}: no README.md')
        elif len(open(own).read().split('\n')) > 70:
            bad.append(f'{folder}/README.md: longer than a screen')
    return bad


CHECKS = {'layers': check_layers, 'pure': check_pure, 'text': check_text, 'readme': check_readme}


def selftest():
    """Plants one violation a check in a scratch tree and demands that each is found."""
    failed = []
    with tempfile.TemporaryDirectory() as root:
        def put(path, text):
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), 'w') as f:
                f.write(text)
        put('common/base/a.h', '#include "raftstore/raft/raft.h"\n')
        put('scheduler/b.c', '#include "kubelet/core/x.h"\n#include <time.h>\n')
        put('apiserver/c.c', '#include <lmdb.h>\nint main(void) { sprintf(0, ""); } // TODO\n')
        put('scheduler/core/clock.c', '#include <time.h>\nlong now_bad(void);\n'
            'long now_bad(void) { return time(0); }\n')
        build = os.path.join(root, 'build', 'scheduler', 'core')
        os.makedirs(build)
        subprocess.run(['cc', '-c', '-o', build + '/clock.o',
                        os.path.join(root, 'scheduler/core/clock.c')], check=True)
        subprocess.run(['ar', 'rcs', build + '/libcore.a', build + '/clock.o'], check=True)
        want = {'layers': ['common/base/a.h:1', 'scheduler/b.c:1', 'apiserver/c.c:1'],
                'pure': ['scheduler/core: clock.o needs time'],
                'text': ['apiserver/c.c:1: no SPDX', 'common/base/a.h:1: no #pragma once',
                         'apiserver/c.c:2: banned call', 'apiserver/c.c:2: unfinished'],
                'readme': ['scheduler: no README.md']}
        for name, patterns in want.items():
            found = CHECKS[name](root, os.path.join(root, 'build'))
            for pattern in patterns:
                if not any(line.startswith(pattern) for line in found):
                    failed.append(f'{name} did not find: {pattern}')
    return failed


def main():
    if sys.argv[1] == 'selftest':
        bad = selftest()
    else:
        bad = CHECKS[sys.argv[1]](sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    for line in bad:
        print(line)
    print(f'tidy {sys.argv[1]}: {len(bad)} found')
    sys.exit(1 if bad else 0)


if __name__ == '__main__':
    main()
