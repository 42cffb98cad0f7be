//! What a fault does beside its own page: it maps what is cached, and reads what is not.

use super::*;

impl FileFault {
    /// `filemap_map_pages`, under the page-table lock: every cached, uptodate, unlocked page below
    /// the end of the file that this part of the mapping shows and that has no entry. Where stores
    /// have to be noticed the entries are read-only, as `vm_page_prot` says.
    pub(super) fn map_around(self, cx: &mut Step) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::Ptl);
        let vma = cx.map.vma_of(self.at);
        let first = VPage(cx.map.vma_pages[vma.0 as usize].start);
        let state = cx.get::<VmaState>(vma);
        let mut done = false;
        for n in state.piece(self.at.0 - first.0, cx.map.vma(vma).pages) {
            let at = first.plus(n);
            let Some(page) = cx.map.backing(at) else { continue };
            let none = cx.get::<Pte>(at).frame().is_none() && !beyond_eof(cx, page);
            let frame = cx
                .cached(page)
                .filter(|&f| none && cx.flags(f).uptodate() && cx.folio_locked_by(f).is_none());
            let Some(frame) = frame else { continue };
            let write = is_shared(cx, at) && state.write() && !cx.map.fs_of(page).tracks_dirty();
            cx.take_ref(frame);
            map_file_page(cx, at, frame, write, false);
            done |= at == self.at;
        }
        if done { Next::Return(0) } else { self.go(State::Size) }
    }

    /// Reads page `n` of the file ahead. Its folio is new and locked: nobody sees it before it is
    /// complete, so that it is made, inserted and submitted in one step.
    pub(super) fn read_ahead(self, cx: &mut Step, at: FilePage, n: u32) -> Next {
        cx.w.lock_briefly(cx.me, LockClass::IPages);
        let Some(page) = cx.map.file_page(cx.map.file_of(at), n) else {
            return self.go(State::Find);
        };
        let next = State::Ahead(n + 1);
        if page == at || cx.cached(page).is_some() || beyond_eof(cx, page) {
            return self.go(next);
        }
        let Some(frame) = cx.alloc_frame() else { return self.go(State::Find) };
        let me = cx.me;
        cx.lru_add(frame);
        cx.cache_insert(page, frame);
        let extent = cx.get::<Extent>(page);
        match extent.block().filter(|_| extent.kind() == ExtentKind::Written) {
            Some(block) => {
                cx.lock_folio(me, frame);
                let disk = cx.map.disk_of(block);
                submit(cx, disk, BioKind::ReadIn, Some(frame), Some(block));
            }
            None => {
                cx.set(frame, Data(Contents::ZERO));
                cx.change_flags(frame, |f| f.with_uptodate(true));
            }
        }
        cx.drop_ref(frame);
        self.go(next)
    }
}
