/** A list of blocks that follows its source: blocks that did not change keep their nodes, and so focus and choices. */

import { drawBlock } from "./blocks.js";
import { confirm } from "./confirm.js";
import { arrange, h } from "./dom.js";
import { resume } from "./elements.js";

let serial = 0;

/** Ids that the workspace makes up anew with each edit do not make a block another block. */
const essence = (block) => JSON.stringify(block, (key, value) => (key === "block_id" ? undefined : value));

export class BlockList {
  /**
   * `people` names users and channels. `act(blockId, element, node)` is called once a person has chosen something
   * (and confirmed it, where the app asks for that). `isForm`: input blocks report nothing until they are submitted.
   */
  constructor({ people, act, isForm = false }) {
    this.node = h("div", { class: "blocks" });
    this.people = people;
    this.act = act;
    this.isForm = isForm;
    this.entries = [];
  }

  /** Show `blocks`. */
  update(blocks) {
    const old = [...this.entries];
    this.entries = blocks.map((block) => {
      const key = essence(block);
      const same = old.findIndex((entry) => entry.key === key);
      if (same < 0)
        return this.draw(
          block,
          key,
          this.entries.find((entry) => entry.block.block_id === block.block_id),
        );
      const [entry] = old.splice(same, 1);
      entry.block = block;
      return entry;
    });
    arrange(
      this.node,
      this.entries.map((entry) => entry.node),
    );
  }

  /** What has been entered, as Slack's `state.values`: by block id, by action id. */
  values() {
    const values = {};
    for (const { block, inputs } of this.entries)
      if (inputs.length)
        values[block.block_id] = Object.fromEntries(inputs.map(({ spec, read }) => [spec.action_id, read()]));
    return values;
  }

  draw(block, key, before) {
    const entered = before ? Object.fromEntries(before.inputs.map(({ spec, read }) => [spec.action_id, read()])) : {};
    const entry = { block, key, inputs: [], node: null };
    entry.node = drawBlock(withEntered(block, entered), {
      people: this.people,
      newId: () => `input-${++serial}`,
      input: (spec, read) => entry.inputs.push({ spec, read }),
      chose: (spec, value, node, undo) => this.chose(entry, spec, value, node, undo),
      dispatches: true,
    });
    return entry;
  }

  async chose(entry, spec, value, node, undo) {
    if (entry.block.type === "input" && this.isForm && !entry.block.dispatch_action) return;
    if (node.getAttribute("aria-busy") === "true") return;
    if (spec.confirm && !(await confirm(spec.confirm, this.people))) {
      undo?.();
      return;
    }
    this.act(entry.block.block_id, { type: spec.type, action_id: spec.action_id, ...value }, node);
  }
}

function withEntered(block, entered) {
  if (block.element) return { ...block, element: resume(block.element, entered[block.element.action_id]) };
  if (block.accessory) return { ...block, accessory: resume(block.accessory, entered[block.accessory.action_id]) };
  if (block.type === "actions")
    return { ...block, elements: block.elements.map((item) => resume(item, entered[item.action_id])) };
  return block;
}
