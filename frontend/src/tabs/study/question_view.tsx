// One question after the other; each answer is saved at once. By keys, pointer or thumb.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { QuestionStage } from "./question_stage";
import type { Session } from "./session";
import { forgetPerson } from "./welcome";

export function QuestionView({ session: now, leave }: { session: Session; leave: () => void }) {
  useEffect(() => {
    void now.start(leave);
    const press = (event: KeyboardEvent): void => now.press(event);
    document.addEventListener("keydown", press);
    return () => {
      document.removeEventListener("keydown", press);
      now.clock.pause();
    };
  }, [now]);
  const [shown, ended, progress] = [now.shown.value, now.ended.value, now.progress.value];
  // The clock starts when the images are on the screen.
  useLayoutEffect(() => {
    now.drawn.value = ended ? "end" : "";
    if (!shown) return;
    let wanted = true;
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (!wanted) return;
        now.clock.begin(shown);
        now.drawn.value = `trial ${shown.trial.position}`;
      }),
    );
    return () => {
      wanted = false;
      now.clock.pause();
    };
  }, [shown, ended]);
  if (ended) return <End person={now.person} total={progress.total} back={() => now.go(progress.total - 1)} leave={leave} />;
  if (!shown) return null;
  return (
    <QuestionStage
      loaded={shown}
      progress={progress}
      answer={now.pending.value ?? shown.trial.answer}
      choose={(answer) => void now.answer(answer)}
      back={() => void now.back()}
      onward={() => void now.go(progress.open)}
      stop={leave}
    />
  );
}

function End({ person, total, back, leave }: { person: string; total: number; back: () => void; leave: () => void }) {
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => title.current!.focus(), []);
  return (
    <section class="card end">
      <h2 tabIndex={-1} ref={title}>{`All questions are answered, ${person}. Thank you.`}</h2>
      <p>{`All ${total} answers are saved.`}</p>
      <div class="row">
        <button class="main" onClick={leave}>
          Start page of the study
        </button>
        <button onClick={back}>Last question</button>
        <button
          onClick={() => {
            forgetPerson();
            leave();
          }}
        >
          Change participant
        </button>
      </div>
    </section>
  );
}
