/*
 * The pin protocol in SPIN's language: P pages, each with a pinner that makes W DMA writes, R rounds
 * of writeback, truncate on the last page. FIX: the pinner marks its page dirty when it lets go.
 *
 * Every atomic sequence is one step. Processes wait at their end instead of going away, and every
 * counter is a function of where its process is: the states are those of the other explorers.
 */
#ifndef P
#define P 1
#define W 1
#define R 1
#define FIX 1
#endif

#define WRITEBACK 1
#define TRUNCATE 2

typedef Page {
    byte refcount = 1;
    byte pincount;
    bit pte_writable;
    bit pte_dirty;
    bit dirty;
    bit writeback;
    byte locked;
    byte content;
    byte snapshot;
    byte disk;
    bit in_cache = 1
};

Page pages[P];
bit truncated;
byte finished;

/* What has to hold in every state, of the page that a step may have changed. */
inline check(page) {
    assert(pages[page].refcount >= pages[page].pincount);
    assert(!pages[page].writeback || pages[page].in_cache || truncated)
}

/* The last one to finish looks for lost writes. */
inline finish(at) {
    finished++;
    if
    :: finished == P + 2 ->
        at = 0;
        do
        :: at < P ->
            assert(!pages[at].in_cache || pages[at].dirty || pages[at].disk == pages[at].content);
            at++
        :: at == P -> break
        od;
        at = 0
    :: else
    fi
}

active [P] proctype pinner() {
    byte writes;
    byte at;
    atomic {
        if
        :: !pages[_pid].pte_writable ->
            pages[_pid].pte_writable = 1;
            pages[_pid].pte_dirty = 1;
            pages[_pid].dirty = 1
        :: else
        fi;
        check(_pid)
    }
    atomic { pages[_pid].refcount++; pages[_pid].pincount++; check(_pid) }
    do
    :: atomic { writes < W -> pages[_pid].content++; writes++; check(_pid) }
    :: atomic {
        writes == W ->
        if
        :: FIX -> pages[_pid].dirty = 1
        :: else
        fi;
        pages[_pid].pincount--;
        pages[_pid].refcount--;
        check(_pid);
        finish(at);
        break
       }
    od;
end:
    false
}

active proctype flusher() {
    byte round;
    byte i;
    byte at;
#define NEXT i++; if :: i == P -> i = 0; round++ :: else fi; if :: round == R -> finish(at); goto end :: else -> goto lock fi
lock:
    atomic { pages[i].locked == 0 -> pages[i].locked = WRITEBACK; check(i) }
    atomic {
        if
        :: !pages[i].dirty || !pages[i].in_cache -> pages[i].locked = 0; check(i); NEXT
        :: else ->
            pages[i].dirty = 0;
            pages[i].pte_writable = 0;
            pages[i].pte_dirty = 0;
            check(i)
        fi
    }
    atomic { pages[i].writeback = 1; check(i) }
    atomic { pages[i].locked = 0; check(i) }
    atomic { pages[i].snapshot = pages[i].content; check(i) }
    atomic { pages[i].disk = pages[i].snapshot; pages[i].writeback = 0; check(i); NEXT }
end:
    false
}

active proctype truncater() {
    byte at;
    atomic { pages[P - 1].locked == 0 -> pages[P - 1].locked = TRUNCATE; check(P - 1) }
    atomic { !pages[P - 1].writeback -> check(P - 1) }
    atomic { pages[P - 1].pte_writable = 0; pages[P - 1].pte_dirty = 0; check(P - 1) }
    atomic { pages[P - 1].in_cache = 0; truncated = 1; check(P - 1) }
    atomic { pages[P - 1].dirty = 0; check(P - 1) }
    atomic { pages[P - 1].refcount--; check(P - 1) }
    atomic { pages[P - 1].locked = 0; check(P - 1); finish(at) }
end:
    false
}
