import type { HomeView, KnownBlock, ModalView } from "@slack/types";

/** What the stand-in checks. Blocks are checked one by one, so a view is its frame without them. */
export interface Roots {
  block: KnownBlock;
  modal: Omit<ModalView, "blocks">;
  home: Omit<HomeView, "blocks">;
}
