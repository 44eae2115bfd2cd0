/** The scene at a table, as its newest turn leaves it. What the dungeon master alone may know is sent to no other. */

import { byId, fill } from "./dom.js";
import { fact } from "./sheet.js";

/** `event`: of the type `scene`. */
export function showScene({ scene, dm_notes: notes }) {
  const { npcs_present: persons, objects_of_interest: things, current_location: place } = scene.scene_elements;
  const facts = [
    ["Where", place],
    ["Around you", scene.environmental_conditions],
    ["Danger", scene.immediate_threats],
    ["Story", scene.story_progression],
    ["Present", persons.join(", ")],
    ["To see", things.join(", ")],
    ["For you alone", notes],
  ];
  fill(byId("scene"), ...facts.map(([term, value]) => fact(term, value)));
  byId("scene-panel").hidden = false;
}
