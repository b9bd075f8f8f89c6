// Messages of proto/palaestra/v1 in canonical JSON, as far as the console reads them. Defaults are left out on the
// wire, so every field is optional; 64-bit integers are text.

export interface Pose { xM?: number; yM?: number; yawRad?: number }

export interface Venue {
  name?: string;
  displayName?: string;
  widthM?: number;
  depthM?: number;
  unitCount?: number;
  cellCount?: number;
  simSlotCount?: number;
  runnerCount?: number;
  sequence?: string;
}

export interface Identity { role?: string; vendor?: string; venue?: string }

export interface Unit {
  name: string;
  serial?: string;
  robotModel?: string;
  robotClass?: string;
  maker?: string;
  labels?: Record<string, string>;
  jointCount?: number;
  pose?: Pose;
  state?: string;
  health?: string;
  fault?: string;
  epoch?: string;
  lease?: string;
  battery?: number;
  bodyState?: {
    body?: { payloadKg?: number; endEffector?: string; sensors?: string[]; firmware?: string };
    charging?: boolean;
    readyTime?: string;
    calibrationExpireTime?: string;
    checkTime?: string;
    wearH?: number;
    healthCause?: string;
  };
  seenTime?: string;
  etag?: string;
  emulated?: boolean;
}

export interface Cell {
  name: string;
  displayName?: string;
  scenario?: string;
  sector?: string;
  level?: string;
  pose?: Pose;
  widthM?: number;
  depthM?: number;
  occupied?: boolean;
  lease?: string;
}

export interface SimSlot { name: string; occupied?: boolean; lease?: string }

export interface Lease {
  name: string;
  job?: string;
  attempt?: string;
  state?: string;
  units?: { unit?: string; epoch?: string }[];
  simSlots?: string[];
  cell?: string;
  grantTime?: string;
  expireTime?: string;
  endTime?: string;
}

export interface Failure { reason?: string; message?: string; retryable?: boolean }

export interface Attempt {
  name?: string;
  number?: number;
  state?: string;
  grantTime?: string;
  startTime?: string;
  endTime?: string;
  failure?: Failure;
  resources?: string[];
}

export interface UnitSelector { robotClass?: string; maker?: string; robotModel?: string; unit?: string }

export interface Claim {
  units?: { selector?: UnitSelector; count?: number }[];
  simSlots?: number;
  cell?: { cell?: string; scenario?: string; level?: string };
  duration?: string;
}

export interface JobResult {
  returnBefore?: number;
  returnAfter?: number;
  returnCurve?: number[];
  trials?: number;
  successes?: number;
  successRate?: number;
  successLow?: number;
  successHigh?: number;
}

export interface Job {
  name: string;
  displayName?: string;
  claim?: Claim;
  priority?: number;
  labels?: Record<string, string>;
  collect?: Record<string, unknown>;
  train?: Record<string, unknown>;
  evaluate?: Record<string, unknown>;
  serve?: Record<string, unknown>;
  state?: string;
  createTime?: string;
  grantTime?: string;
  startTime?: string;
  endTime?: string;
  attempts?: Attempt[];
  progress?: { fraction?: number; message?: string };
  result?: JobResult;
  failure?: Failure;
  episodeCount?: string;
  etag?: string;
  sequence?: string;
}

export interface Episode {
  name: string;
  job?: string;
  index?: number;
  unit?: string;
  world?: number;
  robotModel?: string;
  scenario?: string;
  task?: string;
  outcome?: string;
  outcomeCause?: string;
  returnValue?: number;
  durationS?: number;
  rows?: string;
  startTime?: string;
  sealTime?: string;
}

export interface Usage {
  vendor?: string;
  unitS?: number;
  simSlotS?: number;
  cellS?: number;
  episodes?: string;
  jobs?: string;
  dominantShare?: number;
}

export interface WaitReason {
  constraint?: string;
  message?: string;
  requested?: number;
  matching?: number;
  free?: number;
  fix?: string;
}

export interface Counterfactual { change?: string; startTime?: string }

export interface EstimateCalibration { jobs?: number; p50Held?: number; p90Held?: number }

export interface StartEstimate {
  plannedTime?: string;
  p50Time?: string;
  p90Time?: string;
  calibration?: EstimateCalibration;
  counterfactuals?: Counterfactual[];
}

export interface Explanation {
  state?: string;
  summary?: string;
  jobsAhead?: number;
  reasons?: WaitReason[];
  start?: StartEstimate;
}

export interface LogLine { line?: string; time?: string; attempt?: number; text?: string }

export interface Change {
  sequence?: string;
  time?: string;
  kind?: string;
  resource?: string;
  message?: string;
  job?: Job;
  unit?: Unit;
  cell?: Cell;
  simSlot?: SimSlot;
  lease?: Lease;
  episode?: Episode;
}

export interface EpisodeRecord {
  episode?: Episode;
  labels?: Record<string, string>;
  quality?: number;
  qualityParts?: Record<string, number>;
  qualityMethod?: string;
}

export interface Annotation { field?: string; value?: string; author?: string; kind?: string; version?: string; setTime?: string }

export interface Review {
  record?: EpisodeRecord;
  open?: boolean;
  holder?: string;
  claimEndTime?: string;
  annotations?: Annotation[];
}

export interface RuleAgreement {
  method?: string;
  kind?: string;
  both?: string;
  ruleOnly?: string;
  personOnly?: string;
  precision?: number;
  recall?: number;
}

export interface ReviewFigures {
  agreements?: RuleAgreement[];
  openCount?: string;
  claimedCount?: string;
  acceptedCount?: string;
  rejectedCount?: string;
}
