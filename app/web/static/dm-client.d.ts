// Types of dm-client.js; `/openapi.json` has those of every answer in full.

interface Stamped {
  timestamp: string;
  /** Texts or lists in it are cut. */
  truncated?: true;
}

export interface MetadataEvent extends Stamped {
  type: "metadata";
  phase: string;
  tokens_streamed: number;
  [further: string]: unknown;
}
export interface TokenEvent extends Stamped {
  type: "token";
  content: string;
  index: number;
  /** `narrative` or `player_response`. */
  field: string;
}
/** At a table: a narration that has to be approved, for whoever approves it. */
export interface DraftEvent extends Stamped {
  type: "draft";
  content: string;
  index: number;
  field: string;
}
export interface FieldEvent extends Stamped {
  type: "field";
  field: string;
  value: unknown;
}
export interface OptionsEvent extends Stamped {
  type: "player_options";
  player_options: string[];
}
export interface SceneEvent extends Stamped {
  type: "scene";
  scene: Record<string, unknown>;
  dm_notes: string | null;
}
export interface PreviewEvent extends Stamped {
  type: "preview";
  intents: Record<string, unknown>;
  validated: false;
}
export interface WriteEvent extends Stamped {
  type: "write";
  subsystem: string;
  action: string;
  success: boolean;
  error: string | null;
}
export interface CompleteEvent extends Stamped {
  type: "complete";
  turn_id: string;
  intents: Record<string, unknown>;
  subsystem_summary: Record<string, unknown>;
  timing: Record<string, unknown>;
  usage: Record<string, unknown>;
  validation: { schema_valid: boolean; intents_normalized: boolean };
}
export interface ErrorEvent extends Stamped {
  type: "error";
  error_type: string;
  message: string;
  recoverable: boolean;
  phase: string;
  committed: string[];
  partial_narrative?: string;
  retry_after_seconds?: number;
  request_id?: string;
  upstream?: { status: number | null; code: string | null; hint: string | null };
}
export interface CancelledEvent extends Stamped {
  type: "cancelled";
  phase: string;
  partial_narrative: string;
}
export interface GapEvent extends Stamped {
  type: "gap";
  from: number;
  to: number;
}
export type TurnEvent =
  | MetadataEvent
  | TokenEvent
  | DraftEvent
  | FieldEvent
  | OptionsEvent
  | SceneEvent
  | PreviewEvent
  | WriteEvent
  | CompleteEvent
  | ErrorEvent
  | CancelledEvent
  | GapEvent;

export interface ClientOptions {
  /** Address of the service; empty: that of the page. */
  base?: string;
  /** Of AUTH_MODE=jwt. */
  token?: string;
  /** Of X-User-Id, without it. */
  user?: string;
  /** For how long a broken stream is taken up again without hearing anything new, in ms. */
  patience?: number;
  fetch?: typeof fetch;
}

export interface Character {
  character_id: string;
  name: string;
  race: string;
  class: string;
  status: string;
}

export interface Turn {
  turn_id: string;
  status: "queued" | "running" | "complete" | "error" | "cancelled";
  narrative: string | null;
  [further: string]: unknown;
}

export interface PastTurn extends Turn {
  user_action: string | null;
  created_at: string;
}

/** The service has answered, and it was no. */
export class Refused extends Error {
  readonly status: number;
  readonly type: string;
  readonly recoverable: boolean;
  readonly retryAfter: number | undefined;
  readonly problem: unknown;
}

export class Client {
  constructor(options?: ClientOptions);
  turn(
    characterId: string,
    action: string,
    options?: { key?: string; dryRun?: boolean; manual?: boolean; signal?: AbortSignal },
  ): AsyncGenerator<TurnEvent, void, undefined>;
  events(
    turnId: string,
    options?: { after?: number; signal?: AbortSignal },
  ): AsyncGenerator<TurnEvent, void, undefined>;
  follow(
    characterId: string,
    options?: { lastEventId?: string; signal?: AbortSignal },
  ): AsyncGenerator<TurnEvent, void, undefined>;
  getTurn(turnId: string): Promise<Turn>;
  cancel(turnId: string): Promise<void>;
  commit(turnId: string): Promise<void>;
  retell(turnId: string, guidance?: string): Promise<void>;
  createCharacter(sheet: {
    name: string;
    race: string;
    className: string;
    adventurePrompt?: string;
  }): Promise<{ character_id: string; narrative: string }>;
  characters(): Promise<Character[]>;
  history(
    characterId: string,
    options?: { limit?: number; before?: string },
  ): Promise<{ turns: PastTurn[]; next: string | null }>;
}
